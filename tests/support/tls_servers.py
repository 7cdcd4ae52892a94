"""Certificates of every kind, and servers that present them, for tests of certificate probes."""

import os
import pathlib
import socket
import subprocess
import threading
import time


class Authority:
    """A root, and leaves signed by it (or by themselves), in a directory."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                      "ca.key", "-out", "ca.pem", "-subj", "/CN=Test Root", "-days", "30")
        self.root = self.directory / "ca.pem"

    def _openssl(self, *arguments, **options):
        return subprocess.run(["openssl", *arguments], cwd=self.directory, check=True, capture_output=True, **options)

    def key(self, name, *genpkey):
        path = self.directory / f"{name}.key"
        self._openssl("genpkey", *genpkey, "-out", path.name)
        return path

    def leaf(self, name, dns="localhost", key=("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"), days=20,
             extra="", begins=None, ends=None):
        """Signed by the root. Returns (certificate, key). begins/ends: YYMMDDHHMMSSZ, in place of days."""
        key_path = self.key(name, *key)
        (self.directory / f"{name}.cnf").write_text(
            f"[v3]\nsubjectAltName=DNS:{dns},IP:127.0.0.1\nbasicConstraints=CA:FALSE\n{extra}")
        self._openssl("req", "-new", "-key", key_path.name, "-subj", f"/CN={dns}", "-out", f"{name}.csr")
        out = self.directory / f"{name}.pem"
        if ends is None:
            self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                          "-days", str(days), "-extfile", f"{name}.cnf", "-extensions", "v3", "-out", out.name)
        else:
            self._dated(name, out, begins, ends)
        return out, key_path

    def _dated(self, name, out, begins, ends):
        """`openssl ca` is the one that takes dates."""
        for file, text in (("index.txt", ""), ("index.txt.attr", "unique_subject = no\n"), ("serial.txt", "01\n")):
            (self.directory / file).write_text(text)
        (self.directory / "ca.cnf").write_text(
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial.txt\nnew_certs_dir=.\ndefault_md=sha256\n"
            "policy=p\n[p]\ncommonName=supplied\n")
        self._openssl("ca", "-batch", "-config", "ca.cnf", "-in", f"{name}.csr", "-cert", "ca.pem", "-keyfile", "ca.key",
                      "-startdate", begins, "-enddate", ends, "-extfile", f"{name}.cnf", "-extensions", "v3",
                      "-notext", "-out", out.name)

    def self_signed(self, name, *req):
        key_path = self.directory / f"{name}.key"
        self._openssl("req", "-x509", *req, "-nodes", "-keyout", key_path.name, "-out", f"{name}.pem", "-days", "20")
        return self.directory / f"{name}.pem", key_path


class OpensslServer:
    """`openssl s_server` with one certificate and further arguments, until close()."""

    def __init__(self, port, certificate, key, *arguments):
        self.port = port
        self._process = subprocess.Popen(
            ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", certificate, "-key", key, "-quiet",
             *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            if self._process.poll() is not None:
                raise RuntimeError(f"openssl s_server ended at once with {self._process.returncode}")
            time.sleep(0.02)
        raise RuntimeError("openssl s_server does not listen")

    def close(self):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()


class ScriptedServer:
    """Runs `talk(connection)` for every connection, until close(). The talk may end as it likes."""

    def __init__(self, talk):
        self._talk = talk
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._closing = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection):
        with connection:
            try:
                self._talk(connection, self._closing)
            except OSError:
                pass

    def close(self):
        self._closing.set()
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
