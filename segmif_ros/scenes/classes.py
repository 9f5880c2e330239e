# SPDX-License-Identifier: Apache-2.0
"""The FMB class ids that the scenes draw (a test holds them equal to ``segmif_ros.labels.FMB``)."""

UNLABELLED = 0  # benches, bins, cones, fences: things on the street that FMB gives no class
ROAD = 1
SIDEWALK = 2
BUILDING = 3
LAMP = 4  # FMB's "traffic lamp": the signal head, not its pole and not a street light
SIGN = 5
VEGETATION = 6
SKY = 7
PERSON = 8
CAR = 9
TRUCK = 10
BUS = 11
MOTORCYCLE = 12
BICYCLE = 13
POLE = 14
