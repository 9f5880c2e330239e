# SPDX-License-Identifier: Apache-2.0
"""Light, weather and heat of one scene, and what each material makes of them.

Colours are linear RGB. Temperatures are apparent ones in degrees Celsius: what a thermal camera reads when it takes
every surface for a black body, so that a surface of emissivity e at T, half of whose surroundings is sky and the other
half as warm as the air, shows e*T + (1 - e)*(T_sky + T_air)/2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LIGHTINGS = ("day", "dusk", "night")
WEATHERS = ("clear", "rain", "fog")

Rgb = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Material:
    """Heating by full sun (K), offset to the air at night (K), emissivity, and the heat texture's amplitude (K)."""

    sun_k: float
    night_k: float
    emissivity: float
    texture_k: float = 0.3


MATERIALS = {
    "asphalt": Material(sun_k=16.0, night_k=4.0, emissivity=0.95, texture_k=0.45),
    "concrete": Material(sun_k=11.0, night_k=2.8, emissivity=0.94, texture_k=0.6),
    "marking": Material(sun_k=9.0, night_k=3.0, emissivity=0.93, texture_k=0.5),
    "grass": Material(sun_k=4.0, night_k=-2.2, emissivity=0.97, texture_k=1.3),
    "soil": Material(sun_k=9.0, night_k=0.0, emissivity=0.95, texture_k=1.0),
    "foliage": Material(sun_k=3.5, night_k=-0.3, emissivity=0.97, texture_k=1.5),
    "bark": Material(sun_k=6.0, night_k=1.5, emissivity=0.95, texture_k=0.8),
    "brick": Material(sun_k=12.0, night_k=4.5, emissivity=0.93, texture_k=0.4),
    "plaster": Material(sun_k=10.0, night_k=3.2, emissivity=0.92, texture_k=0.3),
    "glass": Material(sun_k=3.0, night_k=2.5, emissivity=0.85, texture_k=0.2),
    "roof": Material(sun_k=17.0, night_k=-2.5, emissivity=0.90, texture_k=0.6),
    "paint": Material(sun_k=13.0, night_k=-1.0, emissivity=0.86, texture_k=0.3),
    "car_glass": Material(sun_k=6.0, night_k=-2.0, emissivity=0.78, texture_k=0.1),
    "rubber": Material(sun_k=9.0, night_k=0.5, emissivity=0.95, texture_k=0.2),
    "metal": Material(sun_k=7.0, night_k=-0.5, emissivity=0.87, texture_k=0.1),
    "sheet": Material(sun_k=6.0, night_k=-2.0, emissivity=0.78, texture_k=0.1),
}


@dataclass(frozen=True, kw_only=True)
class Climate:
    """Everything about light, air and exposure that all pixels of a scene share."""

    lighting: str
    weather: str
    sun: float  # 0..1, direct sun on the ground: drives shading and heating
    sun_direction: tuple[float, float, float]  # unit vector to the sun: right, up, forward
    sun_rgb: Rgb
    ambient_rgb: Rgb
    sky_top_rgb: Rgb
    sky_low_rgb: Rgb
    cloud: float  # 0..1
    air_c: float
    sky_c: float  # apparent temperature of the sky overhead
    storage: float  # how much warmer or colder than the air surfaces are at night, 1 is usual
    sun_heat: float  # 0..1, how much of the usual heating the sun has managed by now
    heat_lag: float  # 0..1, how much of the day's heat is still stored
    haze_per_m: float  # extinction of visible light
    infrared_haze_per_m: float
    wetness: float  # 0..1
    headlights: float  # strength of the own headlights, 0 is off
    lamp_rgb: Rgb
    lamps_on: bool
    exposure: float
    white_balance: Rgb
    saturation: float
    noise: float  # read noise of the RGB camera, as a fraction of white
    veil: float  # light that the lens scatters over the whole image, as a share of white
    bloom: float  # how far lights spill, 1 is usual
    heat_of: Mapping[str, float]  # K by which each material is warmer or colder in this scene than it usually is

    def temperature(self, material: str, *, inside_k: float = 0.0) -> tuple[float, float, float]:
        """(apparent C in the shade, further K in full sun, texture amplitude K). inside_k is the thing's own heat."""
        m = MATERIALS[material]
        stored = m.night_k * self.storage * (1.0 - self.sun) * (1.0 - 0.8 * self.wetness)
        own = self.heat_of.get(material, 0.0)
        kinetic = self.air_c + stored + inside_k + own + 0.25 * m.sun_k * self.heat_lag
        shown = m.emissivity * kinetic + (1.0 - m.emissivity) * (0.5 * self.sky_c + 0.5 * self.air_c)
        damp = 1.0 - 0.7 * self.wetness
        return shown, m.sun_k * self.sun_heat * self.sun * m.emissivity * damp, m.texture_k * damp


def _mix(a: Rgb, b: Rgb, share: float) -> Rgb:
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


def _times(a: Rgb, gain: float) -> Rgb:
    return (gain * a[0], gain * a[1], gain * a[2])


def _unit(vector: tuple[float, float, float]) -> tuple[float, float, float]:
    length = float(np.sqrt(sum(v * v for v in vector)))
    return (vector[0] / length, vector[1] / length, vector[2] / length)


def make_climate(rng: np.random.Generator, lighting: str, weather: str) -> Climate:
    """Draw the climate of a scene. Names as in LIGHTINGS and WEATHERS."""
    u = rng.uniform
    cloud = float(u(0.0, 0.6) if weather == "clear" else u(0.8, 1.0))
    overcast = max(0.0, (cloud - 0.3) / 0.7)
    azimuth, elevation = u(0, 2 * np.pi), u(0.22, 1.1)
    heat_of = {name: float(rng.normal(0, 1.8)) for name in MATERIALS}
    sun_direction = _unit((np.cos(azimuth), np.tan(elevation), np.sin(azimuth)))
    rain, fog = weather == "rain", weather == "fog"
    # Street light confuses the white balance: by night whole images come out yellow, violet or green.
    cast = 0.07 if lighting == "day" else 0.15 if lighting == "dusk" else 0.3
    tint = float(u(-cast, cast))
    white_balance: Rgb = (1.0 + tint, 1.0 + float(u(-0.4, 0.5)) * cast, 1.0 - tint)
    if lighting == "day":
        sun = float(u(0.75, 1.0)) * (1.0 - 0.9 * overcast)
        sun_rgb: Rgb = (1.7, 1.62, 1.45)
        ambient = _mix((0.42, 0.48, 0.58), (0.68, 0.70, 0.72), overcast)
        sky_top = _mix((0.22, 0.42, 0.85), (0.72, 0.76, 0.80), overcast)
        sky_low = _mix((0.72, 0.84, 0.98), (0.85, 0.87, 0.88), overcast)
        # A camera set for the street shows the sky white.
        white = float(rng.choice([1.0, 1.0, 1.5, 2.5]))
        sky_top, sky_low = _mix(sky_top, sky_low, 1.0 - 1.0 / white), _times(sky_low, white)
        sky_top = _times(sky_top, white)
        air, heat_lag, exposure = float(u(4, 30)), 0.3, float(np.exp(u(np.log(0.45), np.log(1.7))))
        headlights, lamps_on, noise = 0.0, False, float(u(0.004, 0.012))
    elif lighting == "dusk":
        sun = 0.06 * (1.0 - overcast)
        glow = float(u(0, 1))
        sun_rgb = (1.3, 0.8, 0.5)
        ambient = _mix((0.13, 0.14, 0.19), (0.20, 0.17, 0.16), glow)
        sky_top = _mix((0.09, 0.13, 0.28), (0.17, 0.19, 0.24), overcast)
        sky_low = _mix(_mix((0.55, 0.34, 0.22), (0.32, 0.34, 0.46), 1 - glow), (0.26, 0.27, 0.30), overcast)
        air, heat_lag, exposure = float(u(2, 24)), float(u(0.1, 0.8)), float(np.exp(u(np.log(0.6), np.log(2.2))))
        headlights, lamps_on, noise = float(u(0.1, 0.5)), bool(rng.random() < 0.75), float(u(0.008, 0.02))
    else:
        sun, sun_rgb = 0.0, (0.0, 0.0, 0.0)
        glow = float(u(0.25, 1.0))
        ambient = _mix((0.002, 0.0025, 0.004), (0.012, 0.011, 0.010), glow)
        sky_top = _mix((0.0008, 0.001, 0.003), (0.006, 0.006, 0.008), glow)
        sky_low = _mix((0.003, 0.004, 0.007), (0.030, 0.022, 0.016), glow)
        # From streets that a long exposure shows well to ones where little but the lights is seen.
        air, heat_lag, exposure = float(u(-4, 20)), 0.35, float(np.exp(u(np.log(0.8), np.log(4.5))))
        headlights = float(u(0.25, 1.0)) if rng.random() < 0.65 else 0.0
        lamps_on, noise = bool(rng.random() < 0.8), float(u(0.008, 0.022)) + 0.003 * exposure
    clear_sky_c = air - float(u(38, 60))
    lamp_rgb: Rgb = [(1.0, 0.62, 0.26), (1.0, 0.82, 0.55), (0.85, 0.95, 1.0)][int(rng.integers(3))]
    haze = float(u(0.012, 0.035)) if fog else float(u(0.004, 0.010)) if rain else float(u(0.0005, 0.003))
    after_rain = weather == "clear" and rng.random() < 0.12
    wetness = float(u(0.5, 1.0)) if rain else float(u(0.2, 0.7)) if after_rain else 0.0
    veiled = rng.random() < 0.35
    return Climate(
        lighting=lighting,
        weather=weather,
        sun=sun,
        sun_direction=sun_direction,
        sun_rgb=sun_rgb,
        ambient_rgb=ambient,
        sky_top_rgb=sky_top,
        sky_low_rgb=sky_low,
        cloud=cloud,
        air_c=air,
        sun_heat=float(u(0.15, 1.0)),
        sky_c=clear_sky_c + overcast * (air - 4.0 - clear_sky_c) * 0.9,
        storage=float(u(0.2, 1.3)),
        heat_lag=heat_lag,
        haze_per_m=haze,
        # Long-wave infrared sees through haze, and a good deal further than the eye in fog and rain.
        infrared_haze_per_m=0.35 * haze if (fog or rain) else 0.2 * haze,
        wetness=wetness,
        headlights=headlights,
        lamp_rgb=lamp_rgb,
        lamps_on=lamps_on,
        exposure=exposure,
        white_balance=white_balance,
        saturation=float(u(0.5, 1.3)),
        noise=noise,
        veil=float(u(0.005, 0.1)) * (1.0 if lighting == "day" else 0.15) if veiled else 0.0,
        bloom=float(np.exp(u(np.log(0.6), np.log(3.0)))),
        heat_of=heat_of,
    )


def noise_tile(seed: int, slope: float, size: int = 256) -> npt.NDArray[np.float32]:
    """(size, size) float32 noise of deviation 1 that repeats without a seam; its spectrum falls as f^-slope."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft2(rng.standard_normal((size, size)))
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    f[0, 0] = 1.0
    tile = np.fft.irfft2(spectrum * f ** (-slope), s=(size, size))
    tile -= tile.mean()
    return (tile / tile.std()).astype(np.float32)
