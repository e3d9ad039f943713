"""The page of `kernels bench --report` in a real browser: light, dark and narrow, read from its screenshots.

    browser.py PROGRAM RESULTS.json WORK
"""

import re
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path


def read_png(path: Path) -> tuple:
    """Width, height and rows of (red, green, blue) of a PNG of 8 bits without interlacing."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", "not a PNG"
    at, compressed = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", body)
            assert depth == 8 and colour in (2, 6) and interlace == 0
        if kind == b"IDAT":
            compressed += body
        at += 12 + length
    size = 3 if colour == 2 else 4
    raw, stride = zlib.decompress(compressed), width * size
    previous, rows = bytearray(stride), []
    for y in range(height):
        begin = y * (stride + 1)
        method, line = raw[begin], bytearray(raw[begin + 1:begin + 1 + stride])
        for i in range(stride):
            left = line[i - size] if i >= size else 0
            up = previous[i]
            corner = previous[i - size] if i >= size else 0
            if method == 1:
                line[i] = (line[i] + left) & 255
            elif method == 2:
                line[i] = (line[i] + up) & 255
            elif method == 3:
                line[i] = (line[i] + (left + up) // 2) & 255
            elif method == 4:
                near = left + up - corner
                distances = (abs(near - left), abs(near - up), abs(near - corner))
                line[i] = (line[i] + (left, up, corner)[distances.index(min(distances))]) & 255
        rows.append(line)
        previous = line
    return width, height, [[tuple(row[x:x + 3]) for x in range(0, stride, size)] for row in rows]


def screenshot(browser: str, page: Path, out: Path, width: int, height: int, options: tuple = ()) -> tuple:
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={out.parent}/profile",
               f"--window-size={width},{height}", f"--screenshot={out}", *options, page.resolve().as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert out.exists(), f"the browser made no picture:\n{done.stderr[-2000:]}"
    return read_png(out)


def hex_of(colour: tuple) -> str:
    return "#%02x%02x%02x" % colour


def check(condition: bool, what: str) -> None:
    print(("ok    " if condition else "WRONG ") + what, flush=True)
    if not condition:
        check.failed = True


check.failed = False


def colours_of(style: str, names: list) -> dict:
    return {name: re.search(rf"--{name}: (#[0-9a-f]{{6}})", style).group(1) for name in names}


def main() -> None:
    program, results, work = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert browser, "no Chromium here: `.ci/install-packages` installs it"
    shutil.rmtree(work, ignore_errors=True)
    (work / "runs").mkdir(parents=True)
    shutil.copy(results, work / "runs")
    page = work / "report.html"
    done = subprocess.run([program, "-q", "bench", "--merge", str(work / "runs"), "--report", str(page)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    check("default-src 'none'" in text and not re.search(r"<script|<link|<img|\ssrc=|\shref=|@import|url\(", text),
          "the page asks for nothing and runs nothing")
    light_style, dark_style = text.split("@media (prefers-color-scheme: dark)", 1)
    names = ["page", "ink", "c0", "c1", "c2"]
    for mode, style, options in (("light", light_style, ()), ("dark", dark_style, ("--blink-settings=preferredColorScheme=0",))):
        width, height, rows = screenshot(browser, page, work / f"{mode}.png", 1040, 2400, options)
        count = {}
        for row in rows:
            for pixel in row:
                count[hex_of(pixel)] = count.get(hex_of(pixel), 0) + 1
        wanted = colours_of(style, names)
        check(hex_of(rows[2][2]) == wanted["page"] and count[wanted["page"]] > width * height / 2, f"{mode}: the page has its colour")
        check(count.get(wanted["ink"], 0) > 2000, f"{mode}: there is text to read")
        for name in ("c0", "c1", "c2"):
            check(count.get(wanted[name], 0) > 3000, f"{mode}: colour {name} fills bars")
    width, _, rows = screenshot(browser, page, work / "narrow.png", 500, 1600)
    edge = {hex_of(row[width - 1]) for row in rows}
    check(edge == {colours_of(light_style, ["page"])["page"]}, "narrow: nothing runs over the edge of the page")
    dom = subprocess.run([browser, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={work}/profile", "--dump-dom",
                          page.resolve().as_uri()], capture_output=True, text=True, timeout=120).stdout
    timed = len(re.findall(r'"timing": \{', results.read_text()))
    check(dom.count("<tr>") > timed, "every row is in the table")
    check(dom.count('class="range"') == timed, "every row has a bar with its interval")
    check(len(re.findall(r'<circle class="dot', dom)) >= 2 * timed, "every row is in the roofline and over its size")
    sys.exit(1 if check.failed else 0)


if __name__ == "__main__":
    main()
