"""The helper certprobe against real TLS servers of every kind, and against servers that are none."""

import base64
import os
import pathlib
import re
import socket
import ssl
import struct
import subprocess
import tempfile
import time
import unittest

import harness
from tls_servers import Authority, OpensslServer, ScriptedServer

CERTPROBE = harness.binary("certprobe/certprobe")
EC = ("-algorithm", "EC", "-pkeyopt")


def ask(lines, environment=None):
    """The answer as a dictionary; certificates under "chain" as DER."""
    request = "".join(f"{key} {value}\n" for key, value in lines.items() if value)
    done = subprocess.run([CERTPROBE], input=f"ridgeline-certprobe request 1\n{request}end\n".encode(),
                          capture_output=True, timeout=30, env=environment or {}, check=False)
    if done.returncode != 0:
        raise AssertionError(f"certprobe ended with {done.returncode}: {done.stderr.decode()}")
    answer = {"chain": []}
    title, *rest, end = done.stdout.decode().splitlines()
    assert title == "ridgeline-certprobe answer 1" and end == "end", done.stdout
    for line in rest:
        key, value = line.split(" ", 1)
        if key == "certificate":
            answer["chain"].append(base64.b64decode(value))
        else:
            answer[key] = value
    return answer


def der(path):
    return ssl.PEM_cert_to_DER_cert(pathlib.Path(path).read_text())


class CertprobeCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.directory = pathlib.Path(directory.name)
        cls.authority = Authority(cls.directory)
        cls.leaf, cls.key = cls.authority.leaf("leaf")

    def serve(self, certificate, key, *arguments):
        server = OpensslServer(harness.free_port(), certificate, key, *arguments)
        self.addCleanup(server.close)
        return server.port

    def script(self, talk):
        server = ScriptedServer(talk)
        self.addCleanup(server.close)
        return server.port

    def probe(self, port, name="localhost", starttls="none", timeout_ms=5000, trusted=True, host="127.0.0.1"):
        environment = {"SSL_CERT_FILE": str(self.authority.root)} if trusted else {}
        return ask({"host": host, "port": port, "starttls": starttls, "server_name": name, "timeout_ms": timeout_ms},
                   environment)


class LiveServers(CertprobeCase):
    def test_chain_version_trust_and_name(self):
        port = self.serve(self.leaf, self.key, "-cert_chain", self.authority.root)
        answer = self.probe(port)
        self.assertEqual(answer["chain"], [der(self.leaf), der(self.authority.root)])
        self.assertEqual((answer["tls_version"], answer["trust"], answer["name"]), ("TLSv1.3", "ok", "ok"))
        self.assertEqual(self.probe(port, name="other.example")["name"], "mismatch")
        self.assertEqual(self.probe(port, name="127.0.0.1")["name"], "ok")
        self.assertIn("self-signed certificate in certificate chain", self.probe(port, trusted=False)["trust"])

    def test_every_protocol_version(self):
        for version, seclevel in (("tls1_3", 1), ("tls1_2", 1), ("tls1_1", 0), ("tls1", 0)):
            with self.subTest(version):
                port = self.serve(self.leaf, self.key, f"-{version}", "-cipher", f"ALL:@SECLEVEL={seclevel}")
                self.assertEqual(self.probe(port)["chain"], [der(self.leaf)])

    def test_every_kind_of_key(self):
        kinds = {
            "rsa": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
            "rsa-1024": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"),
            "rsa-pss": ("-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"),
            "ed25519": ("-algorithm", "ED25519"),
            "ed448": ("-algorithm", "ED448"),
            "p384": (*EC, "ec_paramgen_curve:P-384"),
            "secp256k1": (*EC, "ec_paramgen_curve:secp256k1"),
            "brainpool": (*EC, "ec_paramgen_curve:brainpoolP256r1"),
        }
        for kind, genpkey in kinds.items():
            with self.subTest(kind):
                certificate, key = self.authority.leaf(kind, key=genpkey)
                port = self.serve(certificate, key, "-cipher", "ALL:@SECLEVEL=0")
                answer = self.probe(port)
                self.assertEqual(answer["chain"], [der(certificate)], answer.get("error"))
                self.assertEqual(answer["trust"], "ok")

    def test_a_server_that_demands_a_client_certificate_still_shows_its_own(self):
        for version in ("tls1_2", "tls1_3"):
            with self.subTest(version):
                port = self.serve(self.leaf, self.key, f"-{version}", "-Verify", "1")
                self.assertEqual(self.probe(port)["chain"], [der(self.leaf)])

    def test_a_chain_far_longer_than_a_record(self):
        names = ",".join(f"DNS:host-{i}.example.com" for i in range(1200))
        certificate, key = self.authority.leaf("many", extra=f"nameConstraints=permitted;DNS:x\nissuerAltName={names}\n")
        chain = self.directory / "long.pem"
        chain.write_text(self.authority.root.read_text() * 60)
        port = self.serve(certificate, key, "-cert_chain", chain)
        answer = self.probe(port)
        self.assertEqual(len(answer["chain"]), 61)
        self.assertGreater(len(answer["chain"][0]), 20_000)

    def test_server_name_picks_the_certificate(self):
        second, second_key = self.authority.leaf("second", dns="second.test")
        port = self.serve(self.leaf, self.key, "-servername", "second.test", "-cert2", second, "-key2", second_key)
        self.assertEqual(self.probe(port, name="second.test")["chain"], [der(second)])
        self.assertEqual(self.probe(port, name="localhost")["chain"], [der(self.leaf)])
        self.assertEqual(self.probe(port, name="127.0.0.1")["chain"], [der(self.leaf)])

    def test_outside_its_dates_trust_and_name_are_still_told(self):
        for name, begins, ends in (("past", "200101000000Z", "200201000000Z"),
                                   ("future", "450101000000Z", "460101000000Z")):
            with self.subTest(name):
                certificate, key = self.authority.leaf(name, begins=begins, ends=ends)
                answer = self.probe(self.serve(certificate, key), name="wrong.example")
                self.assertEqual((answer["trust"], answer["name"]), ("ok", "mismatch"))
                answer = self.probe(self.serve(certificate, key), trusted=False)
                self.assertIn("unable to get local issuer", answer["trust"])

    def test_self_signed(self):
        certificate, key = self.authority.self_signed("own", "-newkey", "ed25519", "-subj", "/CN=localhost")
        answer = self.probe(self.serve(certificate, key))
        self.assertEqual(answer["trust"], "self-signed certificate")
        self.assertEqual(answer["name"], "ok")  # by its common name: it has no other


class HostileServers(CertprobeCase):
    """Each ends with an error that says what happened, in time."""

    def error(self, talk, timeout_ms=700, **options):
        started = time.monotonic()
        answer = self.probe(self.script(talk), timeout_ms=timeout_ms, **options)
        self.assertLess(time.monotonic() - started, timeout_ms / 1000 + 3)
        self.assertEqual(answer["chain"], [])
        return answer["error"]

    def test_nobody_there(self):
        answer = self.probe(harness.free_port())
        self.assertEqual(answer["error"], "connect: Connection refused")

    def test_a_name_that_does_not_exist(self):
        self.assertIn("does-not-exist.invalid", self.probe(443, host="does-not-exist.invalid")["error"])

    def test_silent(self):
        self.assertEqual(self.error(lambda connection, closing: closing.wait(20)),
                         "connected, but the server says nothing")

    def test_trickling(self):
        def talk(connection, closing):
            for byte in b"\x16\x03\x03\x40\x00" + b"\x02" * 100:
                connection.sendall(bytes([byte]))
                if closing.wait(0.05):
                    return
        self.assertEqual(self.error(talk), "the server does not come to an end in time")

    def test_stalling_once_the_chain_is_known(self):
        port = self.serve(self.leaf, self.key, "-tls1_2")

        def talk(connection, closing):
            with socket.create_connection(("127.0.0.1", port)) as server:
                server.sendall(connection.recv(65_536))
                time.sleep(0.3)
                connection.sendall(server.recv(65_536))  # up to ServerHelloDone
                closing.wait(20)
        began = time.monotonic()
        answer = self.probe(self.script(talk), timeout_ms=15_000)
        self.assertEqual((answer["chain"], answer["name"]), ([der(self.leaf)], "ok"))
        self.assertLess(time.monotonic() - began, 7)

    def test_closing_and_resetting(self):
        # What it was sent is taken first: closing over unread bytes is a reset.
        self.assertEqual(self.error(lambda connection, closing: connection.recv(65_536)),
                         "the server closed the connection")

        def reset(connection, closing):
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.assertIn("connection was lost: Connection reset by peer", self.error(reset))

    def test_other_protocols(self):
        for banner, told in ((b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "plain HTTP"),
                             (b"220 mail.example.com ESMTP\r\n", "smtp://"), (b"* OK IMAP4 ready\r\n", "imap://")):
            with self.subTest(banner):
                def talk(connection, closing, banner=banner):
                    connection.sendall(banner)
                    closing.wait(2)
                self.assertIn(told, self.error(talk))

    def test_garbage(self):
        def talk(connection, closing):
            connection.sendall(os.urandom(5000))
            closing.wait(2)
        self.assertIn("no TLS handshake", self.error(talk))

    def test_bytes_without_end(self):
        def talk(connection, closing):
            record = b"\x15\x03\x03\x00\x02\x01\x5a"  # warning: user_canceled
            while not closing.is_set():
                connection.sendall(record * 1000)
        self.assertTrue(self.error(talk, timeout_ms=3000))

    def test_banner_without_end(self):
        def talk(connection, closing):
            while not closing.is_set():
                connection.sendall(b"220-welcome\r\n" * 100)
        self.assertEqual(self.error(talk, starttls="smtp", timeout_ms=3000),
                         "the server talks on and on and does not come to TLS")


class StartTlsServers(CertprobeCase):
    """Each protocol's talk before TLS, then a real handshake on the same connection."""

    def tls_after(self, talk):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.leaf, self.key)

        def serve(connection, closing):
            connection.settimeout(5)
            talk(connection)
            with context.wrap_socket(connection, server_side=True) as tls:
                tls.recv(1)
        return self.script(serve)

    def check(self, protocol, talk):
        answer = self.probe(self.tls_after(talk), starttls=protocol)
        self.assertEqual(answer["chain"], [der(self.leaf)], answer.get("error"))

    @staticmethod
    def expect(connection, wanted):
        got = b""
        while len(got) < len(wanted):
            got += connection.recv(1)
        if got != wanted:
            raise OSError(f"{got} came, not {wanted}")

    def test_smtp(self):
        def talk(connection):
            connection.sendall(b"220-mail.example.com\r\n220 ESMTP\r\n")
            self.expect(connection, b"EHLO certprobe.invalid\r\n")
            connection.sendall(b"250-mail.example.com\r\n250-SIZE 1000\r\n250 STARTTLS\r\n")
            self.expect(connection, b"STARTTLS\r\n")
            connection.sendall(b"220 2.0.0 Ready\r\n")
        self.check("smtp", talk)

    def test_imap(self):
        def talk(connection):
            connection.sendall(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n")
            self.expect(connection, b"a1 STARTTLS\r\n")
            connection.sendall(b"* CAPABILITY IMAP4rev1\r\na1 OK Begin TLS\r\n")
        self.check("imap", talk)

    def test_pop3(self):
        def talk(connection):
            connection.sendall(b"+OK POP3 ready\r\n")
            self.expect(connection, b"STLS\r\n")
            connection.sendall(b"+OK Begin TLS\r\n")
        self.check("pop3", talk)

    def test_ftp(self):
        def talk(connection):
            connection.sendall(b"220-Welcome\r\nto this\r\n 220 server\r\n220 ready\r\n")
            self.expect(connection, b"AUTH TLS\r\n")
            connection.sendall(b"234 Proceed\r\n")
        self.check("ftp", talk)

    def test_ldap(self):
        request = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"

        def talk(connection):
            self.expect(connection, request)
            connection.sendall(b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00")
        self.check("ldap", talk)

    def test_postgresql(self):
        def talk(connection):
            self.expect(connection, b"\0\0\0\x08\x04\xd2\x16\x2f")
            connection.sendall(b"S")
        self.check("postgresql", talk)

    def test_refusals_are_told(self):
        def after(greeting, *replies):
            def talk(connection, closing):
                connection.settimeout(5)
                if greeting:
                    connection.sendall(greeting)
                for reply in replies:
                    connection.recv(100)
                    connection.sendall(reply)
                closing.wait(2)
            return talk
        cases = (
            ("smtp", after(b"554 no\r\n"), "the server does not greet: 554 no"),
            ("smtp", after(b"220 hi\r\n", b"250 hi\r\n", b"502 what\r\n"), "no STARTTLS: 502 what"),
            ("imap", after(b"* OK\r\n", b"a1 BAD no\r\n"), "no STARTTLS: a1 BAD no"),
            ("pop3", after(b"+OK\r\n", b"-ERR no\r\n"), "no STARTTLS: -ERR no"),
            ("ftp", after(b"220 hi\r\n", b"500 no\r\n"), "no STARTTLS: 500 no"),
            ("ldap", after(b"", b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x35\x04\x00\x04\x00"),
             "no STARTTLS: LDAP result 53"),
            ("postgresql", after(b"", b"N"), "the server has SSL turned off"),
        )
        for protocol, talk, told in cases:
            with self.subTest(protocol=protocol, told=told):
                self.assertEqual(self.probe(self.script(talk), starttls=protocol)["error"], told)


class Files(CertprobeCase):
    def path(self, name):
        return self.directory / name

    def pkcs12(self, name, *arguments):
        subprocess.run(["openssl", "pkcs12", "-export", "-in", self.leaf, "-inkey", self.key, "-certfile",
                        self.authority.root, "-out", self.path(name), *arguments], check=True, capture_output=True)
        return self.path(name)

    def password(self, text):
        path = self.path("password")
        path.write_text(text + "\n")
        return path

    def test_bundle_and_der(self):
        bundle = self.path("bundle.pem")
        bundle.write_text("a text\n" + self.leaf.read_text() + self.key.read_text() + self.authority.root.read_text())
        self.assertEqual(ask({"path": bundle})["chain"], [der(self.leaf), der(self.authority.root)])
        single = self.path("leaf.der")
        single.write_bytes(der(self.leaf))
        self.assertEqual(ask({"path": single})["chain"], [der(self.leaf)])

    def test_pkcs12(self):
        for name, arguments in (("new.p12", ()), ("old.p12", ("-legacy",))):
            with self.subTest(name):
                path = self.pkcs12(name, "-passout", "pass:secret", *arguments)
                answer = ask({"path": path, "password_file": self.password("secret")})
                self.assertEqual(answer["chain"], [der(self.leaf), der(self.authority.root)], answer.get("error"))
                self.assertIn("is not that of", ask({"path": path, "password_file": self.password("wrong")})["error"])
                self.assertIn("name a file with it", ask({"path": path})["error"])
        self.assertEqual(ask({"path": self.pkcs12("open.p12", "-passout", "pass:")})["chain"][0], der(self.leaf))
        unsealed = self.pkcs12("unsealed.p12", "-passout", "pass:", "-nomac", "-keypbe", "NONE", "-certpbe", "NONE")
        self.assertEqual(ask({"path": unsealed})["chain"][0], der(self.leaf))
        truncated = self.path("cut.p12")
        truncated.write_bytes(self.path("new.p12").read_bytes()[:300])
        self.assertIn("error", ask({"path": truncated}))

    def test_pkcs7(self):
        bundle = self.path("chain.pem")
        bundle.write_bytes(self.authority.root.read_bytes() + self.leaf.read_bytes())
        for form in ("DER", "PEM"):
            with self.subTest(form):
                path = self.path(f"chain.{form}.p7b")
                subprocess.run(["openssl", "crl2pkcs7", "-nocrl", "-certfile", bundle, "-outform", form, "-out", path],
                               check=True)
                self.assertEqual(ask({"path": path})["chain"], [der(self.leaf), der(self.authority.root)])
                cut = self.path("cut.p7b")
                cut.write_bytes(path.read_bytes()[:300])
                self.assertIn("damaged PKCS#7", ask({"path": cut})["error"])

    def test_below_another_root(self):
        root = self.path("host")
        (root / "etc").mkdir(parents=True)
        (root / "usr").mkdir()
        (root / "usr" / "site.pem").write_bytes(self.leaf.read_bytes())
        (root / "etc" / "site.pem").symlink_to("/usr/site.pem")
        self.assertEqual(ask({"path": "/etc/site.pem", "root": root})["chain"], [der(self.leaf)])
        self.assertIn("error", ask({"path": "/etc/../../site.pem", "root": root}))

    def test_keystore_and_other_files(self):
        keystore = self.path("store.jks")
        keystore.write_bytes(b"\xfe\xed\xfe\xed" + bytes(100))
        self.assertIn("a Java keystore", ask({"path": keystore})["error"])
        self.assertEqual(ask({"path": self.key})["error"], "no certificate in it")
        self.assertIn("No such file", ask({"path": self.path("gone.pem")})["error"])

    def test_keys(self):
        other = self.authority.key("other", *EC, "ec_paramgen_curve:P-256")
        locked = self.path("locked.key")
        subprocess.run(["openssl", "pkey", "-in", self.key, "-aes256", "-passout", "pass:x", "-out", locked], check=True)
        raw = self.path("key.der")
        subprocess.run(["openssl", "pkey", "-in", self.key, "-outform", "DER", "-out", raw], check=True)
        self.assertEqual(ask({"path": self.leaf, "key_file": self.key})["key"], "match")
        self.assertEqual(ask({"path": self.leaf, "key_file": raw})["key"], "match")
        self.assertEqual(ask({"path": self.leaf, "key_file": other})["key"], "mismatch")
        self.assertIn("it is encrypted", ask({"path": self.leaf, "key_file": locked})["key"])
        self.assertIn("no private key", ask({"path": self.leaf, "key_file": self.leaf})["key"])
        self.assertIn("No such file", ask({"path": self.leaf, "key_file": self.path("none")})["key"])

    def test_nothing_but_certificates_is_handed_out(self):
        raw_key = self.path("raw.key")
        subprocess.run(["openssl", "pkey", "-in", self.key, "-outform", "DER", "-out", raw_key], check=True)
        self.assertEqual(ask({"path": raw_key})["chain"], [])
        disguised = self.path("disguised.pem")
        disguised.write_text("-----BEGIN CERTIFICATE-----\n" + base64.b64encode(raw_key.read_bytes()).decode() +
                             "\n-----END CERTIFICATE-----\n")
        self.assertEqual(ask({"path": disguised})["chain"], [])
        followed = self.path("followed.der")
        followed.write_bytes(der(self.leaf) + b"a secret")
        self.assertEqual(ask({"path": followed})["chain"], [der(self.leaf)])

    def test_odd_requests_are_refused(self):
        for text in (b"", b"GET / HTTP/1.0\r\n\r\n", b"ridgeline-certprobe request 1\nend\n", os.urandom(40_000)):
            done = subprocess.run([CERTPROBE], input=text, capture_output=True, check=False, timeout=10)
            self.assertEqual(done.returncode, 2)
            self.assertEqual(done.stdout, b"")


class Publish(CertprobeCase):
    """certprobe publish, as ridgeline-certificates.service runs it."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="ridgeline-publish-")
        self.addCleanup(directory.cleanup)
        self.source = pathlib.Path(directory.name) / "live"
        self.source.mkdir()
        self.public = pathlib.Path(directory.name) / "public"

    def publish(self, *patterns):
        done = subprocess.run([CERTPROBE, "publish", self.public, *map(str, patterns)], capture_output=True, text=True,
                              timeout=30, check=False)
        return done.returncode, done.stderr

    def published(self):
        return {str(p.relative_to(self.public)): p.read_text() for p in self.public.rglob("*") if p.is_file()}

    def place(self, path):
        return str(path).lstrip("/")

    def test_certificates_alone_leave_their_file(self):
        bundle = self.source / "site.pem"
        bundle.write_text("a text\n" + self.leaf.read_text() + self.key.read_text() + self.authority.root.read_text())
        (self.source / "privkey.pem").write_text(self.key.read_text())
        (self.source / "leaf.der").write_bytes(der(self.leaf))
        for patterns in ([self.source], [self.source / "*"], [bundle, self.source / "*.der", self.source]):
            code, told = self.publish(*patterns)
            self.assertEqual(code, 0, told)
            files = self.published()
            self.assertEqual(sorted(files), sorted(map(self.place, (bundle, self.source / "leaf.der"))))
            chain = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", files[self.place(bundle)], re.S)
            self.assertEqual("".join(chain), files[self.place(bundle)])
            self.assertEqual([ssl.PEM_cert_to_DER_cert(one) for one in chain], [der(self.leaf), der(self.authority.root)])

    def test_what_is_gone_is_not_published_any_more(self):
        for name in ("a.pem", "b.pem"):
            (self.source / name).write_text(self.leaf.read_text())
        self.assertEqual(self.publish(self.source)[0], 0)
        (self.source / "a.pem").unlink()
        (self.source / "b.pem").write_text("damaged\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        code, told = self.publish(self.source)
        self.assertEqual((code, self.published()), (1, {}), told)
        self.assertIn("b.pem", told)

    def test_a_damaged_leaf_is_published_as_one(self):
        (self.source / "a.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + self.leaf.read_text())
        self.assertEqual(self.publish(self.source)[0], 0)
        self.assertEqual(len(ask({"path": self.public / self.place(self.source / "a.pem")})["chain"]), 1 + 1)

    def test_what_it_is_told_wrongly(self):
        self.assertEqual(self.publish()[0], 2)
        for pattern, why in ((self.source / "gone.pem", "No such file"), (self.source / "*.crt", "no such file"),
                             ("live/site.pem", "not an absolute path")):
            with self.subTest(str(pattern)):
                code, told = self.publish(pattern)
                self.assertEqual(code, 1)
                self.assertIn(why, told)
        (self.source / "key.pem").write_text(self.key.read_text())
        self.assertIn("no certificate in it", self.publish(self.source / "key.pem")[1])


if __name__ == "__main__":
    unittest.main()
