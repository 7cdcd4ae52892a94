"""The agent's certificate source against the servers people run: nginx, Postfix, Dovecot, vsftpd, slapd, PostgreSQL.

Each is Debian's own, started on a free port with its files in a directory of its own. Those that are not installed are
skipped (scripts/setup --checks installs them); Postfix and Dovecot want root.
"""

import glob
import json
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile
import unittest

import harness
from tls_servers import Authority

AGENT = harness.binary("ridgeline-agent")


def program(name, *further):
    for candidate in (name, f"/usr/sbin/{name}", *further):
        found = shutil.which(candidate)
        if found:
            return found
    raise unittest.SkipTest(f"{name} is not installed")


def needs_root():
    if os.geteuid() != 0:
        raise unittest.SkipTest("needs root to start the server")


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class RealServers(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.directory.chmod(0o755)
        self.authority = Authority(self.directory)
        self.certificate, self.key = self.authority.leaf("server", days=20)

    def start(self, *command, **options):
        process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   stdin=subprocess.DEVNULL, preexec_fn=harness.die_with_parent, **options)

        def stop():
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
        self.addCleanup(stop)
        return process

    def wait_for(self, process, port):
        def ready():
            if process is not None and process.poll() is not None:
                raise AssertionError(f"the server ended: {process.stdout.read().decode(errors='replace')}")
            return listens(port)
        harness.wait_for(ready, f"a server on port {port}")

    def once(self, url, file=None):
        """What the agent records of the endpoint: metric -> value, and the source's error."""
        config = self.directory / "agent.toml"
        config.write_text(f'[[source.certificate.endpoint]]\nurl = "{url}"\nserver_name = "localhost"\n' +
                          (f'file = "{file}"\n' if file else ""))
        done = subprocess.run([AGENT, "once", "--source", "certificate", "--format", "json", "-c", config],
                              capture_output=True, check=False, timeout=60,
                              env={"SSL_CERT_FILE": str(self.authority.root)})
        source = json.loads(done.stdout)["sources"][0]
        values = {}
        for sample in source["samples"]:
            name = sample["metric"] + (":" + sample["attributes"]["reason"] if "reason" in sample["attributes"] else "")
            values.setdefault(name, sample["value"])
        return values, source.get("error", "")

    def check(self, url):
        values, error = self.once(url)
        self.assertEqual(error, "")
        self.assertEqual(values["tls.certificate.readable"], 1)
        self.assertEqual(values["tls.certificate.finding:untrusted"], 0)
        self.assertEqual(values["tls.certificate.finding:name_mismatch"], 0)
        self.assertAlmostEqual(values["tls.certificate.remaining_time"], 20 * 86400, delta=300)

    def nginx(self, port, certificate):
        binary = program("nginx")
        config = self.directory / "nginx.conf"
        config.write_text(f"""
pid {self.directory}/nginx.pid; daemon off; error_log stderr;
events {{}}
http {{
  access_log off; client_body_temp_path {self.directory}/b; proxy_temp_path {self.directory}/p;
  fastcgi_temp_path {self.directory}/f; uwsgi_temp_path {self.directory}/u; scgi_temp_path {self.directory}/s;
  server {{
    listen 127.0.0.1:{port} ssl; server_name localhost;
    ssl_certificate {certificate}; ssl_certificate_key {self.key}; ssl_protocols TLSv1.3;
  }}
}}""")
        return self.start(binary, "-c", config, "-e", "stderr")

    def test_nginx(self):
        port = harness.free_port()
        self.wait_for(self.nginx(port, self.certificate), port)
        self.check(f"https://127.0.0.1:{port}")

    def test_nginx_that_was_not_reloaded_after_a_renewal(self):
        port = harness.free_port()
        live = self.directory / "live.pem"
        shutil.copy(self.certificate, live)
        server = self.nginx(port, live)
        self.wait_for(server, port)
        url = f"https://127.0.0.1:{port}"
        self.assertEqual(self.once(url, live)[0]["tls.certificate.finding:not_current"], 0)
        # Renewed two hours ago, says the file, and so says the certificate.
        renewed, _ = self.authority.leaf("server", begins="200101000000Z", ends="400101000000Z")
        subprocess.run(["openssl", "x509", "-in", renewed, "-out", live], check=True)
        two_hours_ago = os.stat(live).st_mtime - 7200
        os.utime(live, (two_hours_ago, two_hours_ago))
        values, error = self.once(url, live)
        self.assertEqual(values["tls.certificate.finding:not_current"], 1)
        self.assertIn("its file has been renewed until 2040-01-01; reload the server", error)

    def test_postfix(self):
        needs_root()
        binary = program("postfix")
        port = harness.free_port()
        etc, queue, data = (self.directory / name for name in ("postfix", "queue", "data"))
        for path in (etc, queue, data):
            path.mkdir()
        os.chown(data, pwd.getpwnam("postfix").pw_uid, -1)
        for name in ("postfix-files", "dynamicmaps.cf"):
            if pathlib.Path("/etc/postfix", name).exists():
                shutil.copy(f"/etc/postfix/{name}", etc)
        (etc / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
mail_owner = postfix
setgid_group = postdrop
myhostname = localhost
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = {self.directory}/mail.log
maillog_file_prefixes = {self.directory}
smtpd_tls_cert_file = {self.certificate}
smtpd_tls_key_file = {self.key}
smtpd_tls_security_level = may
alias_maps =
""")
        (etc / "master.cf").write_text(f"""
127.0.0.1:{port} inet n - n - - smtpd
anvil     unix  -       -       n       -       1       anvil
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
proxymap  unix  -       -       n       -       -       proxymap
postlog   unix-dgram n  -       n       -       1       postlogd
""")
        subprocess.run([binary, "-c", etc, "start"], check=True, capture_output=True)
        self.addCleanup(subprocess.run, [binary, "-c", etc, "abort"], check=False, capture_output=True)
        self.wait_for(None, port)
        self.check(f"smtp://127.0.0.1:{port}")

    def test_dovecot(self):
        needs_root()
        binary = program("dovecot")
        imap, pop3, imaps = (harness.free_port() for _ in range(3))
        listeners = "".join(
            f"service {service} {{\n inet_listener {name} {{\n  port = {port}\n  ssl = {tls}\n }}\n"
            f" inet_listener {other} {{\n  port = {other_port}\n  ssl = {other_tls}\n }}\n}}\n"
            for service, name, port, tls, other, other_port, other_tls in (
                ("imap-login", "imap", imap, "no", "imaps", imaps, "yes"),
                ("pop3-login", "pop3", pop3, "no", "pop3s", 0, "yes")))
        config = self.directory / "dovecot.conf"
        config.write_text(f"""
base_dir = {self.directory}/run
state_dir = {self.directory}/state
log_path = {self.directory}/dovecot.log
listen = 127.0.0.1
protocols = imap pop3
ssl = yes
ssl_cert = <{self.certificate}
ssl_key = <{self.key}
passdb {{
  driver = static
  args = password=x
}}
{listeners}""")
        server = self.start(binary, "-F", "-c", config)
        for port in (imap, pop3, imaps):
            self.wait_for(server, port)
        self.check(f"imap://127.0.0.1:{imap}")
        self.check(f"pop3://127.0.0.1:{pop3}")
        self.check(f"imaps://127.0.0.1:{imaps}")

    def test_vsftpd(self):
        needs_root()
        binary = program("vsftpd")
        port = harness.free_port()
        empty = self.directory / "empty"
        empty.mkdir()
        config = self.directory / "vsftpd.conf"
        config.write_text(f"""
listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
anonymous_enable=YES
anon_root={empty}
secure_chroot_dir={empty}
ssl_enable=YES
allow_anon_ssl=YES
rsa_cert_file={self.certificate}
rsa_private_key_file={self.key}
seccomp_sandbox=NO
""".lstrip())
        self.wait_for(self.start(binary, config), port)
        self.check(f"ftp://127.0.0.1:{port}")

    def test_slapd(self):
        binary = program("slapd")
        plain, tls = harness.free_port(), harness.free_port()
        config = self.directory / "slapd.conf"
        config.write_text(f"""
TLSCACertificateFile {self.authority.root}
TLSCertificateFile {self.certificate}
TLSCertificateKeyFile {self.key}
database config
rootpw x
""")
        server = self.start(binary, "-f", config, "-d", "0",
                            "-h", f"ldap://127.0.0.1:{plain} ldaps://127.0.0.1:{tls}")
        for port in (plain, tls):
            self.wait_for(server, port)
        self.check(f"ldap://127.0.0.1:{plain}")
        self.check(f"ldaps://127.0.0.1:{tls}")

    def test_postgresql(self):
        postgres = program("postgres", *sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres")))
        port = harness.free_port()
        data = self.directory / "data"
        user = {}
        if os.geteuid() == 0:  # it refuses to run as root
            account = pwd.getpwnam("postgres")
            user = {"user": account.pw_uid, "group": account.pw_gid}
            os.chown(self.directory, account.pw_uid, -1)
            os.chown(self.key, account.pw_uid, -1)
        os.chmod(self.key, 0o600)
        subprocess.run([pathlib.Path(postgres).parent / "initdb", "-D", data, "--no-sync", "-A", "trust"],
                       check=True, capture_output=True, cwd="/", **user)
        server = self.start(postgres, "-D", data, "-h", "127.0.0.1", "-p", port, "-c", "ssl=on",
                            "-c", f"ssl_cert_file={self.certificate}", "-c", f"ssl_key_file={self.key}",
                            "-c", f"unix_socket_directories={data}", "-c", "fsync=off", cwd="/", **user)
        self.wait_for(server, port)
        self.check(f"postgresql://127.0.0.1:{port}")


if __name__ == "__main__":
    unittest.main()
