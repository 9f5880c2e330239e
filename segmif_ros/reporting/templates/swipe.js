for (const swipe of document.querySelectorAll(".swipe")) {
  const stage = swipe.querySelector(".stage"), layers = [...stage.querySelectorAll("img")];
  if (layers.length < 2) continue;
  swipe.classList.add("live");
  const line = stage.appendChild(Object.assign(document.createElement("div"), { className: "line" }));
  const range = Object.assign(document.createElement("input"),
    { type: "range", min: 0, max: 100, value: 50, ariaLabel: "how much of the left picture shows" });
  const pick = Object.assign(document.createElement("div"), { className: "pick" });
  const choice = (label, first) => {
    const select = Object.assign(document.createElement("select"), { ariaLabel: label });
    layers.forEach((layer, i) => select.add(new Option(layer.alt, i, i === first, i === first)));
    select.oninput = show;
    return pick.appendChild(select);
  };
  const names = layers.map((layer) => layer.alt);
  const offered = (swipe.dataset.switch || "").split("|").map((name) => names.indexOf(name)).filter((i) => i >= 0);
  const first = offered.length > 1 ? offered : [1, layers.length > 2 ? 2 : 0];
  const left = choice("left picture", first[0]), right = choice("right picture", first[1]);
  const buttons = Object.assign(document.createElement("div"), { className: "switch" });
  const button = (text, from, to) => {
    const made = Object.assign(document.createElement("button"), { type: "button", textContent: text });
    made.onclick = () => {
      left.value = from;
      right.value = to;
      show();
    };
    made.pair = [from, to];
    return buttons.appendChild(made);
  };
  if (offered.length > 1) {
    button(`${names[offered[0]]} | ${names[offered[1]]}`, offered[0], offered[1]);
    for (const i of offered) button(names[i], i, i);
    swipe.append(buttons);
  }
  swipe.append(range, pick);
  function show() {
    layers.forEach((layer, i) => {
      const over = i === +left.value && left.value !== right.value;
      layer.classList.toggle("on", i === +left.value || i === +right.value);
      layer.classList.toggle("over", over);
      layer.style.clipPath = over ? `inset(0 ${100 - range.value}% 0 0)` : "none";
    });
    line.style.left = `${range.value}%`;
    line.hidden = left.value === right.value;
    for (const made of buttons.children)
      made.ariaPressed = made.pair[0] === +left.value && made.pair[1] === +right.value;
  }
  range.oninput = show;
  const drag = (event) => {
    const box = stage.getBoundingClientRect();
    range.value = Math.round(100 * (event.clientX - box.left) / box.width);
    show();
  };
  stage.onpointerdown = (event) => { stage.setPointerCapture(event.pointerId); drag(event); };
  stage.onpointermove = (event) => { if (event.buttons) drag(event); };
  show();
}
