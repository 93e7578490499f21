"""Fetching is tested against a real HTTP server on this machine."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from ova.data.fetch import download
from ova.data.fetch.fetch import fetch_images
from ova.data.fetch.url_table import read_url_rows
from ova.data.tables.sheet import read_sheet
from ova.errors import DataError, EnvironmentFault, RecipeError


def image_bytes(shade: int, kind: str = "PNG") -> bytes:
    target = BytesIO()
    Image.fromarray(np.full((6, 8), shade, np.uint8)).save(target, kind)
    return target.getvalue()


PNG, JPEG = image_bytes(10), image_bytes(20, "JPEG")


class Site(BaseHTTPRequestHandler):
    """Good images, and everything that goes wrong on the web."""

    protocol_version = "HTTP/1.1"
    asked: Counter[str]
    agents: set[str]
    robots: bytes
    at_once = most_at_once = 0
    lock = threading.Lock()

    def do_GET(self):
        cls = type(self)
        with cls.lock:
            cls.asked[self.path] += 1
            cls.agents.add(self.headers["User-Agent"])
            cls.at_once += 1
            cls.most_at_once = max(cls.most_at_once, cls.at_once)
        with suppress(BrokenPipeError, ConnectionResetError):  # the client leaves when a body is too large
            self.answer()
        with cls.lock:
            cls.at_once -= 1

    def answer(self):
        path, times = self.path, type(self).asked[self.path]
        if path == "/robots.txt":
            self.reply(200 if self.robots else 404, self.robots)
        elif path.split("?")[0] in ("/a.png", "/deep/b.png", "/private/c.png"):
            self.reply(200, PNG)
        elif path == "/photo":
            self.reply(200, JPEG)
        elif path == "/moved":
            self.reply(302, b"", Location="/a.png")
        elif path == "/loop":
            self.reply(302, b"", Location="/loop")
        elif path == "/busy-once":
            self.reply(*((503, b"later") if times == 1 else (200, PNG)), **{"Retry-After": "7"})
        elif path == "/always-busy":
            self.reply(500, b"no")
        elif path == "/page.jpg":
            self.reply(200, b"<html>please log in</html>")
        elif path == "/endless":
            self.reply(200, b"\x89PNG" + b"0" * 5_000_000, length=None)
        elif path == "/cut":
            self.reply(200, PNG[:-9], length=len(PNG))
        elif path == "/half.png":
            self.reply(200, PNG[:-25])
        else:
            self.reply(404, b"nothing")

    def reply(self, status, body, length=-1, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is None:
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(body) if length < 0 else length))
        self.end_headers()
        self.wfile.write(body)
        if length is None or length > len(body):
            self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    handler = type("Handler", (Site,), {"asked": Counter(), "agents": set(), "robots": b""})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    handler.url = f"http://127.0.0.1:{server.server_port}"
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def waits(monkeypatch):
    """Nobody waits in a test; how long a user would have is kept."""
    slept: list[float] = []
    monkeypatch.setattr("ova.data.fetch.fetch._Fetching._sleep", lambda _, seconds: slept.append(seconds))
    return slept


def write_urls(path, rows):
    header = list(rows[0])
    lines = [",".join(header), *(",".join(str(row.get(name, "")) for name in header) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def states(report):
    return [result.state for result in report.results]


def test_images_and_the_label_table_of_those_that_came(site, waits, tmp_path):
    table = write_urls(
        tmp_path / "urls.csv",
        [
            {"url": f"{site.url}/a.png", "image": "x/first.png", "crack": 1, "note": "NA"},
            {"url": f"{site.url}/missing.png", "image": "second.png", "crack": 0},
            {"url": f"{site.url}/photo", "image": "third.jpg", "crack": "", "note": "00123"},
            {"url": f"{site.url}/moved", "image": "fourth.png", "crack": 0},
        ],
    )
    folder = tmp_path / "images"
    report = fetch_images(table, folder, pause=0)
    assert states(report) == ["fetched", "refused", "fetched", "fetched"]
    assert (folder / "x" / "first.png").read_bytes() == PNG == (folder / "fourth.png").read_bytes()
    assert (folder / "third.jpg").read_bytes() == JPEG
    assert "404" in report.results[1].problem
    assert (folder / "labels.csv").read_text().splitlines() == [
        "image,crack,note",
        "x/first.png,1,NA",
        "third.jpg,,00123",
        "fourth.png,0,",
    ]
    told = read_sheet(folder / "fetched.csv", "auto")
    assert list(told.column("state")) == states(report)
    assert told.column("sha256")[2] == hashlib.sha256(JPEG).hexdigest()
    assert {agent.split("/")[0] for agent in site.agents} == {"ova"}


@pytest.mark.parametrize("header", ["url", '"url"', "\ufeffurl "])
def test_a_column_of_urls_alone(site, waits, tmp_path, header):
    table = tmp_path / "urls.csv"
    table.write_text(f"{header}\n{site.url}/a.png?size=1,2;3\n{site.url}/photo\n", encoding="utf-8")
    report = fetch_images(table, tmp_path / "images", pause=0)
    assert states(report) == ["fetched", "fetched"]
    assert report.results[0].url.endswith("/a.png?size=1,2;3")
    assert report.labels is None
    table.write_text(f"link\n{site.url}/a.png\n")
    with pytest.raises(DataError, match="has no column 'url'"):
        fetch_images(table, tmp_path / "images", pause=0)


def test_what_is_there_is_not_asked_for_again(site, waits, tmp_path):
    rows = [{"url": f"{site.url}{path}", "image": ""} for path in ("/a.png", "/photo", "/deep/b.png")]
    table = write_urls(tmp_path / "urls.csv", rows)
    first = fetch_images(table, tmp_path / "images", pause=0)
    assert [result.image[-4:] for result in first.results] == [".png", ".jpg", ".png"]
    assert len({result.image for result in first.results}) == 3
    asked = site.asked.copy()
    second = fetch_images(table, tmp_path / "images", pause=0)
    assert states(second) == ["kept"] * 3
    assert site.asked == asked
    assert [result[1:4] for result in second.results] == [result[1:4] for result in first.results]
    assert first.labels is None


def test_an_interrupted_run_goes_on(site, waits, tmp_path):
    rows = [{"url": f"{site.url}/a.png?{number}", "image": f"{number}.png"} for number in range(6)]
    table = write_urls(tmp_path / "urls.csv", rows)
    done: list[int] = []

    class Watch:
        def start(self, task, total): ...
        def say(self, text): ...
        def advance(self, task, count, note=""):
            done.append(count)

    first = fetch_images(
        table, tmp_path / "images", pause=0, progress=Watch(), should_stop=lambda: len(done) >= 2
    )
    assert "not yet" in states(first)
    assert states(first).count("fetched") >= 2
    again = fetch_images(table, tmp_path / "images", pause=0)
    assert states(again) == ["kept" if state == "fetched" else "fetched" for state in states(first)]
    assert not [path for path in site.asked if path.startswith("/a.png?") and site.asked[path] != 1]


def test_checksums_decide_what_is_stored_and_what_is_kept(site, waits, tmp_path):
    right, wrong = hashlib.sha256(PNG).hexdigest(), "0" * 64
    rows = [
        {"url": f"{site.url}/a.png", "image": "right.png", "sha256": right.upper()},
        {"url": f"{site.url}/deep/b.png", "image": "wrong.png", "sha256": wrong},
    ]
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "right.png").write_bytes(b"an older version")
    report = fetch_images(write_urls(tmp_path / "urls.csv", rows), folder, pause=0)
    assert states(report) == ["fetched", "refused"]
    assert (folder / "right.png").read_bytes() == PNG
    assert not (folder / "wrong.png").exists()
    assert right in report.results[1].problem


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/page.jpg", "neither JPEG nor PNG"),
        ("/half.png", "damaged or cut-off"),
        ("/loop", "redirects"),
        ("/always-busy", "500 Internal Server Error, 4 times"),
        ("/cut", "no answer"),
    ],
)
def test_what_is_no_image_is_told_and_not_stored(site, waits, tmp_path, path, what):
    table = write_urls(tmp_path / "urls.csv", [{"url": site.url + path, "image": "a.png"}])
    report = fetch_images(table, tmp_path / "images", pause=0)
    assert states(report) == ["refused"]
    assert what in report.results[0].problem
    assert not (tmp_path / "images" / "a.png").exists()


def test_a_body_is_read_no_further_than_the_cap(site, waits, tmp_path, monkeypatch):
    monkeypatch.setattr("ova.data.fetch.fetch.MAX_IMAGE_BYTES", 10_000)
    table = write_urls(tmp_path / "urls.csv", [{"url": f"{site.url}/endless", "image": "a.png"}])
    report = fetch_images(table, tmp_path / "images", pause=0)
    assert "more than 10,000 bytes" in report.results[0].problem


def test_the_total_is_capped(site, waits, tmp_path):
    rows = [{"url": f"{site.url}/a.png?{number}", "image": f"{number}.png"} for number in range(4)]
    table = write_urls(tmp_path / "urls.csv", rows)
    report = fetch_images(table, tmp_path / "images", pause=0, max_total=2 * len(PNG))
    assert states(report) == ["fetched", "fetched", "refused", "refused"]
    assert "max-total" in report.results[3].problem


def test_a_busy_host_is_asked_again_when_it_says(site, waits, tmp_path):
    table = write_urls(tmp_path / "urls.csv", [{"url": f"{site.url}/busy-once", "image": "a.png"}])
    assert states(fetch_images(table, tmp_path / "images", pause=0)) == ["fetched"]
    assert waits == [7.0]
    assert site.asked["/busy-once"] == 2


def test_one_request_at_a_time_and_a_pause_between(site, waits, tmp_path):
    rows = [{"url": f"{site.url}/a.png?{number}", "image": f"{number}.png"} for number in range(5)]
    fetch_images(write_urls(tmp_path / "urls.csv", rows), tmp_path / "images", pause=3)
    assert site.most_at_once == 1
    assert len(waits) == 5  # before every image: robots.txt was the first request
    assert all(0 < wait <= 3 for wait in waits)


def test_robots_txt_is_obeyed(site, waits, tmp_path):
    site.robots = b"User-agent: *\nDisallow: /private/\nCrawl-delay: 9\n"
    rows = [
        {"url": f"{site.url}/private/c.png", "image": "c.png"},
        {"url": f"{site.url}/a.png", "image": "a.png"},
        {"url": f"{site.url}/deep/b.png", "image": "b.png"},
    ]
    report = fetch_images(write_urls(tmp_path / "urls.csv", rows), tmp_path / "images", pause=0)
    assert states(report) == ["refused", "fetched", "fetched"]
    assert "robots.txt" in report.results[0].problem
    assert site.asked["/private/c.png"] == 0
    assert max(waits) > 8


def test_an_unreachable_host_does_not_hold_up_the_others(site, waits, tmp_path):
    rows = [
        {"url": "http://127.0.0.1:9/a.png", "image": "gone.png"},
        {"url": f"{site.url}/a.png", "image": "a.png"},
    ]
    report = fetch_images(write_urls(tmp_path / "urls.csv", rows), tmp_path / "images", pause=0)
    assert states(report) == ["refused", "fetched"]
    assert "no answer" in report.results[0].problem


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"url": "ftp://host/a.png"}, "no http or https URL"),
        ({"url": "file:///etc/passwd"}, "no http or https URL"),
        ({"url": "http://[::1/a.png"}, "no http or https URL"),
        ({"url": ""}, "no http or https URL"),
        ({"url": "http://host/a.png", "image": "../a.png"}, "leaves the folder"),
        ({"url": "http://host/a.png", "image": "/etc/a.png"}, "leaves the folder"),
        ({"url": "http://host/a.png", "image": "a.exe"}, "does not end in"),
        ({"url": "http://host/a.png", "sha256": "12"}, "64 hexadecimal"),
    ],
)
def test_a_wrong_row_is_refused_before_anything_is_asked(tmp_path, row, what):
    rows = [{"url": "http://host/fine.png", "image": "fine.png", "sha256": ""}, row]
    with pytest.raises(DataError, match=what) as caught:
        read_url_rows(read_sheet(write_urls(tmp_path / "urls.csv", rows), ","))
    assert "line 3" in str(caught.value)


def test_two_urls_for_one_image_are_refused(tmp_path):
    rows = [{"url": f"http://host/{name}", "image": "a.png"} for name in "ab"]
    with pytest.raises(DataError, match="two URLs for one image in line 3"):
        read_url_rows(read_sheet(write_urls(tmp_path / "urls.csv", rows), ","))


def test_a_link_out_of_the_folder_is_not_followed(site, waits, tmp_path):
    folder, outside = tmp_path / "images", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "sub").symlink_to(outside)
    table = write_urls(tmp_path / "urls.csv", [{"url": f"{site.url}/a.png", "image": "sub/a.png"}])
    report = fetch_images(table, folder, pause=0)
    assert states(report) == ["refused"]
    assert not list(outside.iterdir())


def test_a_full_disk_ends_the_run(site, waits, tmp_path, monkeypatch):
    def refuse(path, content):
        raise EnvironmentFault("the disk is full")

    monkeypatch.setattr("ova.data.fetch.fetch.write_bytes", refuse)
    table = write_urls(tmp_path / "urls.csv", [{"url": f"{site.url}/a.png", "image": "a.png"}])
    with pytest.raises(EnvironmentFault, match="disk is full"):
        fetch_images(table, tmp_path / "images", pause=0)


def test_a_negative_pause_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="pause"):
        fetch_images(tmp_path / "urls.csv", tmp_path, pause=-1)


@pytest.mark.parametrize(
    ("header", "least", "most"), [("12", 12, 12), ("soon", None, None), (None, None, None)]
)
def test_retry_after(header, least, most):
    wait = download._asked_wait(header)
    assert wait is None if least is None else least <= wait <= most


def test_retry_after_as_a_date():
    assert download._asked_wait("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert download._asked_wait("Wed, 21 Oct 2099 07:28:00 GMT") > 1e9


def test_the_command(site, waits, tmp_path, run_cli):
    rows = [{"url": f"{site.url}/{name}", "image": f"{name}", "crack": 1} for name in ("a.png", "gone.png")]
    table = write_urls(tmp_path / "urls.csv", rows)
    code, out, err = run_cli("data", "fetch", table, tmp_path / "images", "--pause", "0")
    assert code == 3
    assert "fetched.csv says why" in err
    assert "404" in out
    code, out, err = run_cli("data", "fetch", write_urls(tmp_path / "one.csv", rows[:1]), tmp_path / "images")
    assert (code, err) == (0, "")
    assert "ova init WORKSPACE --labels" in out
    code, out, err = run_cli("data", "fetch", tmp_path / "none.csv", tmp_path / "images")
    assert (code, out) == (4, "")
