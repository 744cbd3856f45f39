"""A mail server that does what a script says, for the tests of mls-mail.

    server.py DIRECTORY '{"RCPT": ["451 later", "250 ok"], ...}' [--tls smtps|starttls] [--auth USER PASSWORD]
              [--size BYTES] [--smtputf8]

Prints its port on one line and serves 127.0.0.1 until its standard input ends. The script names, for CONNECT, MAIL, RCPT,
"RCPT someone@example.com", and DATA, the answers in order, the last one for ever: a reply, "stall" (no answer), or "drop"
(the connection is closed; after DATA the message was kept). EHLO is the whole reply; INJECT is text that somebody on the
network sends after the reply to STARTTLS, before TLS begins. Each message is kept as NUMBER.eml beside NUMBER.json, its
envelope. --tls takes cert.pem and key.pem from DIRECTORY. Needs python3-aiosmtpd.
"""

import argparse
import asyncio
import json
import logging
import os
import pathlib
import ssl
import sys
import warnings

from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    def __init__(self, directory, script):
        self.directory = directory
        self.script = script
        self.messages = 0

    async def answer(self, server, *stages):
        for stage in stages:
            answers = self.script.get(stage)
            if answers:
                break
        else:
            return "250 OK"
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer == "stall":
            await asyncio.sleep(3600)
        if answer == "drop":
            server.transport.abort()
            await asyncio.sleep(3600)
        return answer

    async def handle_MAIL(self, server, session, envelope, address, options):
        answer = await self.answer(server, "MAIL")
        if answer.startswith("250"):
            envelope.mail_from = address
        return answer

    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = await self.answer(server, f"RCPT {address}", "RCPT")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server, session, envelope):
        self.messages += 1
        base = self.directory / str(self.messages)
        base.with_suffix(".eml").write_bytes(envelope.original_content)
        tls = server.transport.get_extra_info("ssl_object") is not None
        about = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": tls}
        base.with_suffix(".json").write_text(json.dumps(about))
        return await self.answer(server, "DATA")


class Server(SMTP):
    async def push(self, status):
        inject = self.event_handler.script.get("INJECT")
        if inject and isinstance(status, str) and status.startswith("220 Ready to start TLS"):
            status += "\r\n" + inject[0]
        await super().push(status)

    async def smtp_EHLO(self, hostname):
        answers = self.event_handler.script.get("EHLO")
        if not answers:
            await super().smtp_EHLO(hostname)
            return
        if answers[0].startswith("250"):
            self.session.extended_smtp = True
            self.session.host_name = hostname
        await self.push(answers[0])

    async def _handle_client(self):
        answers = self.event_handler.script.get("CONNECT", [])
        if answers:
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if answer == "stall":
                await asyncio.sleep(3600)
            if answer == "drop":
                self.transport.abort()
                return
        await super()._handle_client()


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("script", type=json.loads)
    parser.add_argument("--tls", choices=["smtps", "starttls"])
    parser.add_argument("--auth", nargs=2)
    parser.add_argument("--size", type=int)
    parser.add_argument("--smtputf8", action="store_true")
    args = parser.parse_args()

    smtps, options = None, {"enable_SMTPUTF8": args.smtputf8}
    if args.size:
        options["data_size_limit"] = args.size
    if args.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.directory / "cert.pem", args.directory / "key.pem")
        if args.tls == "smtps":
            smtps = context
        else:
            options["tls_context"] = context
    if args.auth:
        def authenticate(server, session, envelope, mechanism, data):
            right = [data.login.decode(), data.password.decode()] == args.auth
            return AuthResult(success=right, handled=right)
        options |= {"auth_required": True, "authenticator": authenticate, "auth_require_tls": False}
    loop = asyncio.get_running_loop()
    handler = Handler(args.directory, args.script)
    server = await loop.create_server(lambda: Server(handler, loop=loop, **options), "127.0.0.1", 0, ssl=smtps)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    os._exit(0)


# Print no errors: the tests cause them on purpose.
logging.disable()
warnings.simplefilter("ignore")
asyncio.run(main())
