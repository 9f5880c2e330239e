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
  const left = choice("left picture", 1), right = choice("right picture", layers.length > 2 ? 2 : 0);
  swipe.append(range, pick);
  function show() {
    layers.forEach((layer, i) => {
      const over = i === +left.value && left.value !== right.value;
      layer.classList.toggle("on", i === +left.value || i === +right.value);
      layer.classList.toggle("over", over);
      layer.style.clipPath = over ? `inset(0 ${100 - range.value}% 0 0)` : "none";
    });
    line.style.left = `${range.value}%`;
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
