"""Finds a licence plate in a JPEG and reads it, with OpenCV and Tesseract.

A plate is looked for by its characters: dark shapes of one height on one line. That finds it without its border, which
dirt, shadows and bodywork of the same colour hide, and says how it is turned. Everything else (hyphens, seals, the blue
band, screws) is wiped off, and what stays is one straight line of text for Tesseract. What a picture costs is bounded:
size and scans are checked before anything is decoded, and so many shapes, lines and readings are looked at, no more.
"""

import os
from collections import namedtuple

# Of this program's own threads each has a picture: more of OpenMP's would only take turns with them.
os.environ.setdefault("OMP_THREAD_LIMIT", "1")

import cv2  # noqa: E402
import numpy  # noqa: E402
import tesserocr  # noqa: E402
from formats import ALPHABET, DIGITS, LONGEST, SHORTEST, fit  # noqa: E402
from jpeg import WIDEST  # noqa: E402

cv2.setNumThreads(1)

# width and height of what is searched: plates of phones and traffic cameras have 100 pixels and more there
SEARCHED = 1280
SHAPES = 600  # of one picture: a wall of posters has fewer; more is noise, and pairs are compared
LINES = 6  # candidates that are read: the plate is nearly always the first or second
LOWEST, HIGHEST = 11, 160  # pixels of a character
LETTER = 44  # pixels of one for Tesseract, whose model has lines of 36 or 48 with their margins
MARGIN = 14
# A gap as between words, in heights of characters: at least, and more than the plate's narrowest one. (Images of
# characters are 4 pixels wider than those.)
WORD, WIDER = 0.2, 0.12
GAP = 12  # pixels between two characters for Tesseract
# How single characters are read, one way after the other until it is sure: Tesseract's mode, a size for which its model
# misses few, and what a reading counts. On the letters and digits of 80 rendered plates the first finds nothing for 3 %
# and is hardly ever wrong; the last finds nearly all and is wrong for 2 %.
SINGLE = (
    (tesserocr.PSM.SINGLE_CHAR, 0.4, 1.0),
    (tesserocr.PSM.SINGLE_CHAR, 0.75, 1.0),
    (tesserocr.PSM.RAW_LINE, 0.75, 0.8),
)
IN_ROW = 0.6  # what a reading in a row counts, when that of a single character is 1
SHOWN = 640  # pixels of the longer side of a picture that is shown to people: some 40 kB
LEAST = 0.5  # how sure a reading has to be: noise gets to 0.44
SURE = 0.8  # a reading that fits a country's plates as it is, with this confidence, ends the search

# Text of a plate, countries that have such plates, confidence (0 to 1), corners in the picture.
Plate = namedtuple("Plate", ("text", "countries", "confidence", "corners"))
# A row of characters: from the left to the right end of its lower and upper line, which characters, how likely.
Line = namedtuple("Line", ("corners", "members", "score"))

# Black on white, of the line's height, and from where to where it reaches in the line.
Character = namedtuple("Character", ("image", "left", "right"))


class Reader:
    """Tesseract for one thread: it keeps its model in memory (some 15 MB) and is not to be shared."""

    def __init__(self, tessdata):
        self._api = tesserocr.PyTessBaseAPI(
            path=str(tessdata),
            lang="eng",
            psm=tesserocr.PSM.SINGLE_LINE,
            oem=tesserocr.OEM.LSTM_ONLY,
            variables={"load_system_dawg": "0", "load_freq_dawg": "0"},  # a plate is no word
        )

    def row(self, image):
        """[(character, how sure)] of a line, black on white."""
        self._api.SetPageSegMode(tesserocr.PSM.SINGLE_LINE)
        return self._read(image, ALPHABET + DIGITS)

    def single(self, image):
        """{character: how sure} of one character: the likeliest letter and the likeliest digit, if there are any. In a
        row Tesseract expects letters after letters; here it does not."""
        found = {}
        for mode, scale, counts in SINGLE:
            small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            self._api.SetPageSegMode(mode)
            for kind in (ALPHABET, DIGITS):
                for char, sure in self._read(small, kind)[:1]:
                    found[char] = max(found.get(char, 0), counts * sure)
            if found and max(found.values()) > SURE:
                break
        return found

    def _read(self, image, characters):
        self._api.SetVariable("tessedit_char_whitelist", characters)
        height, width = image.shape
        self._api.SetImageBytes(image.tobytes(), width, height, 1, width)
        self._api.Recognize()
        found = list(self._symbols())
        self._api.Clear()
        return found

    def _symbols(self):
        symbol = tesserocr.RIL.SYMBOL
        each = self._api.GetIterator()
        while each and not each.Empty(symbol):
            text = each.GetUTF8Text(symbol)
            if text.isalnum():
                yield text, each.Confidence(symbol) / 100
            if not each.Next(symbol):
                return


def decode(jpeg, size):
    """The picture in shades of grey, no larger than what is searched, or None if it can't be decoded. libjpeg itself
    shrinks large ones."""
    flags = cv2.IMREAD_GRAYSCALE
    for factor, reduced in (
        (8, cv2.IMREAD_REDUCED_GRAYSCALE_8),
        (4, cv2.IMREAD_REDUCED_GRAYSCALE_4),
        (2, cv2.IMREAD_REDUCED_GRAYSCALE_2),
    ):
        if max(size) >= factor * SEARCHED:
            flags = reduced
            break
    try:
        grey = cv2.imdecode(numpy.frombuffer(jpeg, numpy.uint8), flags)
    except cv2.error:
        return None
    if grey is None or max(grey.shape) > WIDEST:
        return None
    return _shrunk(grey, SEARCHED)


def _shrunk(image, longest):
    """With no side longer than that, and none without a pixel."""
    scale = longest / max(image.shape)
    if scale >= 1:
        return image
    height, width = [max(1, round(side * scale)) for side in image.shape]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def recognise(grey, reader):
    """The plate in a picture, or None."""
    best = None
    for dark in _shapes_of(grey):
        for line in _lines(dark):
            found = _read(grey, dark, line, reader)
            if found and (best is None or found[0] > best[0]):
                best = found
            if best and best[0] >= SURE:
                return best[1]
    return best[1] if best and best[0] >= LEAST else None


# Shapes: an image of their numbers, and their boxes

Shapes = namedtuple("Shapes", ("labels", "numbers", "boxes"))


def _shapes_of(grey):
    """Shapes that may be characters, by two ways to tell dark from bright: neighbourhoods of two sizes."""
    smooth = cv2.GaussianBlur(grey, (3, 3), 0)
    for block in (31, 61):
        dark = cv2.adaptiveThreshold(smooth, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, block, 9)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(dark, connectivity=8)
        x, y, width, height, area = stats[:, :5].T
        fits = (height >= LOWEST) & (height <= HIGHEST) & (width <= height * 1.3) & (width * 8 >= height)
        fits &= area >= 0.12 * width * height
        fits[0] = False  # the background
        numbers = numpy.flatnonzero(fits)
        if len(numbers) > SHAPES:
            numbers = numbers[numpy.argsort(-area[numbers], kind="stable")[:SHAPES]]
        yield Shapes(labels, numbers, stats[numbers, :4].astype(float))


def _lines(shapes):
    """Rows of shapes that may be a plate, the likeliest first."""
    if len(shapes.numbers) < SHORTEST:
        return []
    x, y, width, height = shapes.boxes.T
    across, middle = x + width / 2, y + height / 2
    step = across[None, :] - across[:, None]
    tall = numpy.maximum(height[None, :], height[:, None])
    low = numpy.minimum(height[None, :], height[:, None])
    # Neighbours: equally high, as far apart as characters, turned by 20 degrees at most.
    near = (low > 0.75 * tall) & (step > 0) & (x[None, :] - (x + width)[:, None] < 1.1 * tall)
    near &= abs(middle[None, :] - middle[:, None]) < numpy.maximum(0.36 * step, 0.15 * tall)
    near &= abs(middle[None, :] - middle[:, None]) < 0.5 * tall
    found = []
    for group in _connected(near):
        line = _line(shapes.boxes[group], shapes.numbers[group])
        if line:
            found.append(line)
    found.sort(key=lambda line: -line.score)
    return found[:LINES]


def _connected(near):
    """Groups of indices that are linked."""
    left = set(range(len(near)))
    linked = near | near.T
    while left:
        group, ahead = [], [left.pop()]
        while ahead:
            one = ahead.pop()
            group.append(one)
            new = [other for other in numpy.flatnonzero(linked[one]).tolist() if other in left]
            left.difference_update(new)
            ahead.extend(new)
        if len(group) >= SHORTEST:
            yield numpy.array(sorted(group))


def _line(boxes, numbers):
    """The Line of a group, without members that are not on it; None if it is none."""
    order = numpy.argsort(boxes[:, 0], kind="stable")
    boxes, numbers = boxes[order], numbers[order]
    for _ in range(3):
        x, y, width, height = boxes.T
        tall = numpy.median(height)
        slope, base = _through(x + width / 2, y + height / 2)
        off = abs(y + height / 2 - slope * (x + width / 2) - base)
        stays = (off < 0.2 * tall) & (abs(height - tall) < 0.25 * tall)
        if stays.all():
            break
        boxes, numbers = boxes[stays], numbers[stays]
        if len(numbers) < SHORTEST:
            return None
    x, y, width, height = boxes.T
    if not SHORTEST <= len(numbers) <= LONGEST + 3 or abs(slope) > 0.36:
        return None
    corners = _corners(boxes)
    even = numpy.std(height) / tall
    score = min(len(numbers), 7) - 6 * even + min(tall, 60) / 30
    return Line(corners, numbers, score)


def _corners(boxes):
    """Of the smallest turned box around a line: left top, right top, right bottom, left bottom."""
    x, y, width, height = boxes.T
    across = x + width / 2
    (over, top), (under, bottom) = _through(across, y), _through(across, y + height)
    slope = (over + under) / 2
    ends = numpy.array([x[0], x[-1] + width[-1]])
    middle = ((over + under) * ends + top + bottom) / 2
    half = ((under - over) * ends + bottom - top) / 2 / (1 + slope * slope)
    upper, lower = [numpy.stack([ends - slope * way * half, middle + way * half], axis=1) for way in (-1, 1)]
    return numpy.array([upper[0], upper[1], lower[1], lower[0]], numpy.float32)


def _through(x, y):
    """Slope and offset of the line through points, one far off does not matter."""
    if len(x) < 2 or x.max() - x.min() < 1:
        return 0.0, float(numpy.median(y))
    step_x, step_y = x[None, :] - x[:, None], y[None, :] - y[:, None]
    apart = step_x > 0.3 * (x.max() - x.min())
    slope = float(numpy.median(step_y[apart] / step_x[apart]))
    return slope, float(numpy.median(y - slope * x))


def _read(grey, shapes, line, reader):
    """(how good, Plate) of what Tesseract reads in a line, or None."""
    straight, members = _straight(grey, shapes, line)
    characters = _characters(straight, members, len(line.members))
    if len(characters) < SHORTEST:
        return None
    readings = [reader.single(_row([character])) for character in characters]
    row = reader.row(_row(characters))
    if len(row) == len(readings):
        for reading, (char, sure) in zip(readings, row, strict=True):
            reading[char] = max(reading.get(char, 0), IN_ROW * sure)
    found = fit(readings, _gaps(characters))
    if not found or len(row) != len(readings):
        other = fit([{char: IN_ROW * sure} for char, sure in row])
        if other and (not found or other.good > found.good):
            found = other
    return found and (
        found.good,
        Plate(found.plate, found.countries, max(0, round(found.good, 2)), _around(line.corners)),
    )


def _straight(grey, shapes, line):
    """The line as an image of its own, with characters of LETTER pixels and a margin, and the same image with the
    number of a member, from 1 on, where it is."""
    low, high = line.corners.min(axis=0), line.corners.max(axis=0)
    tall = numpy.linalg.norm(line.corners[3] - line.corners[0])
    left, top = numpy.maximum(low - tall, 0).astype(int)
    right, bottom = (high + tall).astype(int)
    corners = line.corners - numpy.array([left, top], numpy.float32)
    wide = numpy.linalg.norm(corners[2] - corners[3])
    width = int(min(max(wide, 1) * LETTER / max(tall, 1), 16 * LETTER))
    size = width + 2 * MARGIN, LETTER + 2 * MARGIN
    flat = numpy.array([(0, 0), (width, 0), (width, LETTER), (0, LETTER)], numpy.float32) + MARGIN
    matrix = cv2.getPerspectiveTransform(corners, flat)
    window = grey[top:bottom, left:right]
    straight = cv2.warpPerspective(window, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    labels = shapes.labels[top:bottom, left:right]
    members = numpy.zeros(labels.shape, numpy.uint8)
    for number, label in enumerate(line.members, 1):
        members[labels == label] = number
    return straight, cv2.warpPerspective(members, matrix, size, flags=cv2.INTER_NEAREST)


def _characters(straight, members, count):
    """The Character of each member, but for those that are too thin to be seen there."""
    around = cv2.dilate(members, numpy.ones((5, 5), numpy.uint8)) > 0
    inside, paper = straight[members > 0], straight[around & (members == 0)]
    if not inside.size or not paper.size:
        return []
    black, white = float(numpy.percentile(inside, 20)), float(numpy.percentile(paper, 75))
    spread = numpy.clip((straight.astype(numpy.float32) - black) * 255 / max(white - black, 1), 0, 255)
    found = []
    for number in range(1, count + 1):
        mask = cv2.dilate((members == number).astype(numpy.uint8), numpy.ones((5, 5), numpy.uint8)) > 0
        columns = numpy.flatnonzero(mask.any(axis=0))
        if not columns.size:
            continue
        alone = numpy.where(mask, spread, 255).astype(numpy.uint8)
        left, right = columns[0], columns[-1] + 1
        found.append(Character(alone[:, left:right], left, right))
    return found


def _gaps(characters):
    """After how many characters there are gaps as between words."""
    wide = [other.left - one.right for one, other in zip(characters, characters[1:], strict=False)]
    least = max(WORD * LETTER, min(wide) + WIDER * LETTER)
    return {number for number, gap in enumerate(wide, 1) if gap > least}


def _row(characters):
    """The characters in a row, evenly spaced: a plate's own gaps are too narrow, or as wide as between words."""
    white = numpy.full((characters[0].image.shape[0], GAP), 255, numpy.uint8)
    return numpy.hstack([white] + [part for character in characters for part in (character.image, white)])


def _around(corners):
    """The plate's corners: a third of a character beyond its characters."""
    middle = corners.mean(axis=0)
    along = corners - middle
    tall = numpy.linalg.norm(corners[3] - corners[0])
    wide = max(1.0, numpy.linalg.norm(corners[1] - corners[0]))
    right = (corners[1] - corners[0]) / wide * (0.33 * tall)
    down = (corners[3] - corners[0]) * 0.33
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return [tuple((middle + along[n] + right * sign[0] + down * sign[1]).tolist()) for n, sign in enumerate(signs)]


def marked(grey, plate):
    """A small JPEG of the picture with the plate marked, for people."""
    small = cv2.cvtColor(_shrunk(grey, SHOWN), cv2.COLOR_GRAY2BGR)
    if plate:
        corners = (numpy.array(plate.corners) * max(small.shape) / max(grey.shape)).round().astype(numpy.int32)
        cv2.polylines(small, [corners], True, (40, 200, 40), 2)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
