"""Mail about alerts, through Debian's Postfix with STARTTLS and logins (Dovecot's), as the collector sends it.

Skipped where Postfix or Dovecot are not installed (scripts/setup --checks installs them) or without root.
"""

import email
import email.policy
import os
import pathlib
import pwd
import shutil
import subprocess
import unittest

from harness import RidgelineTest, free_port, wait_for
import alert_receivers as receivers
import recorded_host
from real_servers_test import listens, needs_root, program
from tls_servers import Authority

RULE = """
[[rule]]
id = "cpu.busy"
metric = "system.cpu.utilization"
where = { state = "used", cpu = "" }
levels = [ { at = "80%", for = "0s", severity = "P2" } ]
clear = "50%"
clear_for = "1s"
summary = "{host}: Prozessor überlastet, {value}\\r\\nBcc: evil@example.com <b>"
"""
USER, PASSWORD = "ridgeline", "correct horse"


class MailServer:
    """Postfix that takes mail for example.com from who has logged in over TLS, and puts it into files."""

    def __init__(self, test, tls=True):
        needs_root()
        postfix, dovecot = program("postfix"), program("dovecot")
        self.directory = test.directory / "mail"
        self.directory.mkdir()
        for directory in (test.directory, self.directory):
            directory.chmod(0o755)
        self.port = free_port()
        authority = Authority(self.directory)
        self.ca = authority.root
        certificate, key = authority.leaf("server")
        self._start_logins(test, dovecot)
        etc, queue, data, boxes = (self.directory / name for name in ("etc", "queue", "data", "boxes"))
        for path in (etc, queue, data, boxes):
            path.mkdir()
        account = pwd.getpwnam("nobody")
        os.chown(data, pwd.getpwnam("postfix").pw_uid, -1)
        os.chown(boxes, account.pw_uid, account.pw_gid)
        for name in ("postfix-files", "dynamicmaps.cf"):
            if pathlib.Path("/etc/postfix", name).exists():
                shutil.copy(f"/etc/postfix/{name}", etc)
        (etc / "main.cf").write_text(f"""
compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_sasl_authenticated_header = yes
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = {"may" if tls else "none"}
smtpd_tls_auth_only = {"yes" if tls else "no"}
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {self.directory}/auth
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
smtpd_relay_restrictions = permit_sasl_authenticated, reject
strict_rfc821_envelopes = yes
smtpd_forbid_bare_newline = yes
virtual_mailbox_domains = example.com
virtual_mailbox_base = {boxes}
virtual_mailbox_maps = static:inbox/
virtual_uid_maps = static:{account.pw_uid}
virtual_gid_maps = static:{account.pw_gid}
virtual_minimum_uid = 1
alias_maps =
""")
        (etc / "master.cf").write_text(f"""
127.0.0.1:{self.port} inet n - n - - smtpd -o max_use=1
anvil     unix  -       -       n       -       1       anvil
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
proxymap  unix  -       -       n       -       -       proxymap
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
virtual   unix  -       n       n       -       -       virtual
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
""")
        self.main_cf = etc / "main.cf"
        subprocess.run([postfix, "-c", etc, "start"], check=True, capture_output=True, timeout=30)
        test.addCleanup(subprocess.run, [postfix, "-c", etc, "abort"], check=False, capture_output=True, timeout=30)
        self.boxes = boxes
        wait_for(lambda: listens(self.port), "Postfix")

    def _start_logins(self, test, dovecot):
        (self.directory / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
        config = self.directory / "dovecot.conf"
        config.write_text(f"""
base_dir = {self.directory}/run
state_dir = {self.directory}/state
log_path = {self.directory}/dovecot.log
protocols =
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
passdb {{
  driver = passwd-file
  args = {self.directory}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}}
service auth {{
  unix_listener {self.directory}/auth {{
    mode = 0666
  }}
}}
""")
        process = subprocess.Popen([dovecot, "-F", "-c", config], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)

        def stop():
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        test.addCleanup(stop)
        wait_for((self.directory / "auth").exists, "Dovecot's logins")

    def change(self, line):
        """A later line of the configuration wins; each connection has a process of its own, which reads it."""
        with open(self.main_cf, "a", encoding="utf-8") as config:
            config.write(line + "\n")

    def mails(self):
        return [email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
                for path in sorted(self.boxes.glob("inbox/new/*"), key=lambda path: path.stat().st_mtime_ns)]


class MailServersTest(RidgelineTest):
    def setUp(self):
        super().setUp()
        self.host = recorded_host.RecordedHost(self.directory / "root")
        self.receivers = receivers.Receivers()
        self.addCleanup(self.receivers.stop)

    def begin(self, server, password=PASSWORD):
        (self.directory / "hmac").write_bytes(receivers.HMAC_KEY)
        self.collector_ = self.collector(rules=RULE, extra=f"""
[notify]
wait = "0s"
interval = "1s"
give_up_after = "20s"
[target.mail]
type = "email"
smtp = "smtp://localhost:{server.port}"
from = "ridgeline@example.com"
to = ["ops@example.com"]
user = "{USER}"
password = "{password}"
ca_file = "{server.ca}"
fallback = "hook"
min_gap = "0s"
[target.hook]
type = "webhook"
url = "{self.receivers.url}/hook"
hmac_key = "file:{self.directory}/hmac"
min_gap = "0s"
""").start()
        self.agent_ = self.agent(self.collector_, "buero", root=self.host.root, batch="1s",
                                 interval="200ms").start()
        self.wait(lambda: len(self.agent_.sampled("cpu")) > 10, "a quiet beginning")

    def wait(self, condition, what):
        def look():
            self.host.advance(0.1)
            return condition()
        return wait_for(look, what, interval=0.1)

    def test_mail_arrives_over_tls_by_login_and_its_end_in_the_same_thread(self):
        server = MailServer(self)
        self.begin(server)
        self.host.cpu_used = 0.9
        self.wait(lambda: len(server.mails()) == 1, "the mail")
        self.host.cpu_used = 0.1
        self.wait(lambda: len(server.mails()) == 2, "the mail of its end")
        begun, ended = server.mails()
        self.assertRegex(str(begun["Subject"]), r"^\[P2\] cpu\.busy on buero")
        self.assertRegex(str(ended["Subject"]), r"^\[RESOLVED\]")
        self.assertEqual(begun["In-Reply-To"], ended["In-Reply-To"])
        self.assertNotEqual(begun["Message-ID"], ended["Message-ID"])
        self.assertIsNone(begun["Bcc"])
        self.assertEqual(begun.defects + ended.defects, [])
        text = begun.get_body(("plain",)).get_content()
        html = begun.get_body(("html",)).get_content()
        self.assertIn("Prozessor überlastet, 9", text)
        self.assertIn("Prozessor überlastet, 9", html)
        self.assertIn("&lt;b&gt;", html)
        self.assertIn("ESMTPSA", str(begun["Received"]))  # with TLS and a login
        self.assertIn(f"Authenticated sender: {USER}", str(begun["Received"]))
        self.assertEqual(self.receivers.received, [])
        self.assertNotIn(PASSWORD, self.collector_.log())

    def test_a_wrong_password_is_final_and_the_stand_in_is_told(self):
        server = MailServer(self)
        self.begin(server, password="wrong")
        self.host.cpu_used = 0.9
        self.wait(lambda: self.receivers.received, "the stand-in to be told")
        self.assertEqual(server.mails(), [])
        self.assertIn("mail: ", self.collector_.log())
        self.assertEqual(self.collector_.metric("ridgeline_collector_notifications_refused_total"), 1)

    def test_a_greylisted_mail_comes_again(self):
        server = MailServer(self)
        server.change("smtpd_recipient_restrictions = check_recipient_access static:{451 4.7.1 Greylisted}")
        self.begin(server)
        self.host.cpu_used = 0.9
        self.wait(lambda: self.collector_.metric("ridgeline_collector_notifications_retries_total"), "the first try")
        self.assertIn("451", self.collector_.log())
        self.assertEqual(server.mails(), [])
        server.change("smtpd_recipient_restrictions = permit_sasl_authenticated, reject")
        self.wait(lambda: len(server.mails()) == 1, "the mail")
        self.assertEqual(self.receivers.received, [])

    def test_nothing_is_sent_in_clear_text(self):
        server = MailServer(self, tls=False)
        self.begin(server)
        self.host.cpu_used = 0.9
        self.wait(lambda: self.receivers.received, "the stand-in to be told")
        self.assertEqual(server.mails(), [])
        self.assertIn("offers no STARTTLS", self.collector_.log())


if __name__ == "__main__":
    unittest.main()
