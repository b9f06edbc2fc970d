"""Own the customer's side of the sandbox: the route on the admin listener by which a person plays one."""

from __future__ import annotations

import msgspec
from aiohttp import web

from gatekeeper.core.errors import LedgerError
from gatekeeper.core.recipients import digits
from gatekeeper.sandbox.messages import Messages
from gatekeeper.server.admin import problem
from gatekeeper.server.bodies import read_body
from gatekeeper.server.http import TooLarge

PATH = "/sandbox/customers/{wa_id}/messages"
_MOST = 1 << 16
_OK = range(200, 300)


class _Written(msgspec.Struct, frozen=True, kw_only=True):
    phone_number_id: str
    text: str = "hi"
    ad: bool = False


_decode = msgspec.json.Decoder(_Written).decode


class Customers:
    """Lets a person play any customer."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    def routes(self) -> list[web.RouteDef]:
        """The routes of the admin listener."""
        return [web.post(PATH, self._write)]

    async def _write(self, request: web.Request) -> web.Response:
        """Let a customer write; answered once the webhook was."""
        wa_id = request.match_info["wa_id"]
        if digits(wa_id) != wa_id:
            return problem(400, "wa_id must be a phone number with its country code, digits only: 16505551234.")
        try:
            written = _decode(await read_body(request, _MOST))
        except TooLarge:
            return problem(413, f"The body is larger than {_MOST} bytes.")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return problem(400, f'The body must be JSON like {{"phone_number_id": "106540352242922"}}: {error}.')
        if not (written.phone_number_id.isascii() and written.phone_number_id.isdigit()):
            return problem(400, "phone_number_id must be digits.")
        try:
            wamid, status = await self._messages.write(wa_id, written.phone_number_id, written.text, ad=written.ad)
        except LedgerError as error:
            return problem(503, f"The ledger is out of reach: {error}")
        if status is None:
            return problem(502, "The webhook's URL could not be reached.")
        if status not in _OK:
            return problem(502, f"The webhook was answered {status}.")
        return web.json_response({"wamid": wamid, "webhook_status": status})
