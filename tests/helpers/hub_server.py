"""A server on this machine that answers as the Hugging Face hub does, as far as files go."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Files by their paths in the one repository, and how the server misbehaves.

    Args:
        repository: Its name.
        files: Their contents.
        cut_after: Bytes after which the connection breaks, once for each number.
        sent: What is sent in place of a file's content, which keeps its checksum.
        large: Whether files are told of as the hub tells of large ones, by their SHA-256.
    """

    repository: str
    files: dict[str, bytes]
    cut_after: list[int] = field(default_factory=list)
    sent: dict[str, bytes] = field(default_factory=dict)
    large: bool = True
    requests: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, range

    def __enter__(self) -> Hub:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                hub._answer(self, body=False)

            def do_GET(self) -> None:
                hub._answer(self, body=True)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def ranges(self) -> list[str]:
        """What parts of files were asked for, in order; an empty one is all of a file."""
        return [asked for method, _, asked in self.requests if method == "GET"]

    def _answer(self, handler: BaseHTTPRequestHandler, *, body: bool) -> None:
        asked = handler.headers.get("Range", "")
        self.requests.append((handler.command, handler.path, asked))
        prefix = f"/{self.repository}/resolve/"
        if not handler.path.startswith(prefix):
            return self._refuse(handler, "RepoNotFound")
        revision, _, name = handler.path.removeprefix(prefix).partition("/")
        if len(revision) != 40:
            return self._refuse(handler, "RevisionNotFound")
        if name not in self.files:
            return self._refuse(handler, "EntryNotFound")
        content = self.files[name]
        sent = self.sent.get(name, content)
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        handler.send_response(206 if asked else 200)
        handler.send_header("X-Repo-Commit", revision)
        handler.send_header("Content-Length", str(len(sent) - start))
        handler.send_header("Accept-Ranges", "bytes")
        if asked:
            handler.send_header("Content-Range", f"bytes {start}-{len(sent) - 1}/{len(sent)}")
        if self.large:
            handler.send_header("ETag", '"of-the-pointer"')
            handler.send_header("X-Linked-Etag", f'"{hashlib.sha256(content).hexdigest()}"')
            handler.send_header("X-Linked-Size", str(len(content)))
        else:
            blob = b"blob %d\0" % len(content) + content
            handler.send_header("ETag", f'"{hashlib.sha1(blob).hexdigest()}"')
        handler.end_headers()
        if not body:
            return None
        if self.cut_after:
            handler.wfile.write(sent[start : start + self.cut_after.pop(0)])
            handler.wfile.flush()
            handler.close_connection = True
            handler.connection.shutdown(2)
            return None
        handler.wfile.write(sent[start:])
        return None

    @staticmethod
    def _refuse(handler: BaseHTTPRequestHandler, code: str) -> None:
        handler.send_response(404)
        handler.send_header("X-Repo-Commit", COMMIT)
        handler.send_header("X-Error-Code", code)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
