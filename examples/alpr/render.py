"""Makes pictures with licence plates, for tests and the demo: no real car, no real owner.

render.py FOLDER [--count 100] [--seed 1]    writes 000.jpg, 001.jpg, ... and plates.json with what is on them

The same seed makes the same pictures. Each has one plate of a country of formats.py somewhere in a scene with other
edges and letters, turned by up to 8 degrees, seen a little from the side, lit unevenly, blurred and noisy, and stored
with a JPEG quality of 50 to 95.
"""

import argparse
import json
import random
import sys
from pathlib import Path

import cv2
import numpy
from formats import COUNTRIES, DIGITS
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
# Where tools/setup.sh puts fonts. German plates had DIN until 1994; those of road signs are near the other countries'.
FONTS = HERE.parent.parent / ".cache/plates/usr/share/fonts/truetype"
STYLES = {
    # country: font, background, characters, a blue band at the left
    "DE": ("opendin/OSP-DIN.ttf", (250, 250, 250), (10, 10, 10), True),
    "FR": ("roadgeek/RG2014E.ttf", (250, 250, 250), (15, 15, 15), True),
    "GB": ("roadgeek/RG2014D.ttf", (245, 200, 40), (10, 10, 10), True),
    "IT": ("roadgeek/RG2014C.ttf", (248, 248, 250), (20, 20, 25), True),
    "NL": ("roadgeek/RG2014EM.ttf", (240, 180, 20), (10, 10, 10), True),
    "US": ("roadgeek/RG2014C.ttf", (250, 250, 252), (20, 30, 90), False),
}
BAND = (20, 50, 160)
# Pixels of a plate before it is put into a scene: those of the European Union have 520 x 110 mm.
PLATE = (1040, 220)
PLATE_US = (610, 305)  # 12 x 6 inches
WORDS = ("TAXI", "POLICE", "EXIT 24", "STOP", "P+R", "SALE", "HOTEL", "BUS 51", "NO ENTRY", "DINER")


def plate_text(dice, country):
    """A plate as it is written, with blanks and hyphens."""
    letters, patterns = COUNTRIES[country]
    sets = {"A": letters, "9": DIGITS, "1": DIGITS[1:]}
    return "".join(dice.choice(sets[place]) if place in sets else place for place in dice.choice(patterns))


def plate_image(text, country):
    name, background, colour, band = STYLES[country]
    size = PLATE_US if country == "US" else PLATE
    image = Image.new("RGB", size, background)
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((3, 3, size[0] - 4, size[1] - 4), 18, outline=colour, width=6)
    left = 20
    if band:
        left = 100
        draw.rectangle((6, 6, 86, size[1] - 7), fill=BAND)
        small = ImageFont.truetype(str(FONTS / "dejavu/DejaVuSans-Bold.ttf"), 44)
        draw.text((46, size[1] - 45), country[:1] if country != "GB" else "UK", (250, 250, 250), small, "mm")
    if country == "US":
        small = ImageFont.truetype(str(FONTS / "dejavu/DejaVuSans-Bold.ttf"), 40)
        draw.text((size[0] / 2, 42), "CALIFORNIA" if text[0].isdigit() else "NEW YORK", (180, 30, 40), small, "mm")
    _characters(draw, text, str(FONTS / name), colour, (left, size[0] - 16), size[1])
    return numpy.asarray(image)


def _characters(draw, text, font, colour, across, height):
    """Writes the text as large as the plate allows: 75 mm high on 110 mm."""
    room = across[1] - across[0] - 24
    points = int(height * 0.9)
    while True:
        face = ImageFont.truetype(font, points)
        gap = points * 0.07
        width = sum(_advance(face, char) + gap for char in text) - gap
        if width <= room:
            break
        points -= 2
    # Digits and capitals stand on one line and are equally high.
    top, bottom = face.getbbox("H8")[1], face.getbbox("H8")[3]
    x = across[0] + 12 + (room - width) / 2
    middle = height * (0.58 if height == PLATE_US[1] else 0.5)
    for char in text:
        if char != " ":
            draw.text((x - face.getbbox(char)[0], middle - (top + bottom) / 2), char, colour, face)
        x += _advance(face, char) + gap


def _advance(face, char):
    if char == " ":
        return face.getlength("0") * 0.45
    left, _, right, _ = face.getbbox(char)
    return right - left


def scene(dice, noise, size):
    """A background with edges and letters that are no plate: bodywork, lamps, signs."""
    width, height = size
    ramp = numpy.linspace(dice.uniform(40, 120), dice.uniform(90, 190), height)[:, None, None]
    tint = numpy.array([dice.uniform(0.8, 1.1) for _ in range(3)])
    picture = numpy.clip(numpy.broadcast_to(ramp * tint, (height, width, 3)), 0, 255).astype(numpy.uint8).copy()
    for _ in range(dice.randint(8, 20)):
        colour = [dice.randint(20, 230) for _ in range(3)]
        x, y = dice.randrange(width), dice.randrange(height)
        shape = dice.randrange(3)
        if shape == 0:
            cv2.rectangle(picture, (x, y), (x + dice.randint(20, 300), y + dice.randint(10, 120)), colour, -1)
        elif shape == 1:
            cv2.circle(picture, (x, y), dice.randint(8, 60), colour, dice.choice((-1, 3)))
        else:
            cv2.line(picture, (x, y), (dice.randrange(width), dice.randrange(height)), colour, dice.randint(1, 6))
    for _ in range(dice.randint(0, 3)):
        at = dice.randrange(width), dice.randrange(30, height)
        cv2.putText(picture, dice.choice(WORDS), at, cv2.FONT_HERSHEY_SIMPLEX, dice.uniform(0.6, 1.4), (230,) * 3, 2)
    grain = noise.normal(0, 6, (height // 4, width // 4, 3)).astype(numpy.float32)
    return numpy.clip(picture + cv2.resize(grain, (width, height)), 0, 255).astype(numpy.uint8)


def corners(dice, plate, size):
    """Where the plate's corners come to lie in a picture of that size, clockwise from the left top."""
    height, width = plate.shape[:2]
    wide = dice.uniform(170, 360)
    tall = wide * height / width
    angle = numpy.radians(dice.uniform(-8, 8))
    turn = numpy.array([[numpy.cos(angle), -numpy.sin(angle)], [numpy.sin(angle), numpy.cos(angle)]])
    square = numpy.array([[-wide, -tall], [wide, -tall], [wide, tall], [-wide, tall]]) / 2
    lean = numpy.array([[dice.uniform(-0.05, 0.05) * tall for _ in range(2)] for _ in range(4)])
    found = (square + lean) @ turn.T
    low, high = found.min(axis=0), found.max(axis=0)
    where = [dice.uniform(8 - low[axis], size[axis] - 8 - high[axis]) for axis in (0, 1)]
    return (found + where).astype(numpy.float32)


def picture(dice, empty=False):
    """(JPEG, plate, country, corners); without a plate in it if it is to be empty."""
    country = dice.choice(sorted(COUNTRIES))
    text = plate_text(dice, country)
    noise = numpy.random.default_rng(dice.getrandbits(32))
    size = dice.choice(((640, 480), (800, 600), (1280, 720)))
    canvas = scene(dice, noise, size)
    plate = plate_image(text, country)
    height, width = plate.shape[:2]
    at = corners(dice, plate, size)
    # The bodywork around it, also where there is no plate.
    middle = at.mean(axis=0)
    cv2.fillConvexPoly(canvas, ((at - middle) * 1.25 + middle).astype(int), [dice.randint(10, 200) for _ in range(3)])
    flat = numpy.array([[0, 0], [width, 0], [width, height], [0, height]], numpy.float32)
    matrix = cv2.getPerspectiveTransform(flat, at)
    # Warping takes single pixels, so shrink first: else strokes would break.
    shrunk = cv2.GaussianBlur(plate, (0, 0), max(0.1, 0.4 * width / max(at[1][0] - at[0][0], 1)))
    laid = cv2.warpPerspective(shrunk, matrix, size, flags=cv2.INTER_LINEAR)
    mask = cv2.warpPerspective(numpy.full((height, width), 255, numpy.uint8), matrix, size)[..., None] / 255.0
    whole = canvas.astype(float) if empty else canvas * (1 - mask) + laid * mask
    light = numpy.linspace(dice.uniform(0.6, 1.05), dice.uniform(0.6, 1.05), size[0])[None, :, None]
    whole = cv2.GaussianBlur(whole * light, (0, 0), dice.uniform(0.3, 0.9))
    whole = numpy.clip(whole + noise.normal(0, dice.uniform(0, 9), whole.shape), 0, 255).astype(numpy.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, dice.randint(50, 95)]
    jpeg = cv2.imencode(".jpg", cv2.cvtColor(whole, cv2.COLOR_RGB2BGR), quality)[1].tobytes()
    return jpeg, "".join(filter(str.isalnum, text)), country, at.round().astype(int).tolist()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--empty", action="store_true", help="the same pictures without plates")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for number in range(arguments.count):
        # A picture does not depend on how many come before it.
        jpeg, plate, country, at = picture(random.Random("%d %d" % (arguments.seed, number)), arguments.empty)
        name = "%03d.jpg" % number
        (arguments.folder / name).write_bytes(jpeg)
        found[name] = {"plate": None if arguments.empty else plate, "country": country, "corners": at}
    (arguments.folder / "plates.json").write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
