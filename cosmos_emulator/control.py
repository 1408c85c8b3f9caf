"""The control requests under `/_emulator/`: what a test or a demo does to the service from outside.

They need no key and are not counted. Bodies and answers are JSON, but for the documents' own bytes.
README.md describes each of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cosmos_emulator.account import Account
from cosmos_emulator.documents import decode_json, decode_object, encode_json
from cosmos_emulator.entra import ANY_ACCOUNT, LIFETIME_SECONDS, Entra, Role
from cosmos_emulator.errors import EmulatorError, bad_request
from cosmos_emulator.faults import Faults, parse_fault
from cosmos_emulator.odd_ids import OddIdAnswer
from cosmos_emulator.stats import Meter, stats
from cosmos_emulator.wire import PARTITION_KEY, Answer, Call, error_answer, json_answer

PREFIX = "/_emulator/"
_OWN_ZONES = (".internal", ".localhost")
"""Names in which nobody can have a page: `host.docker.internal` and the like (RFC 6761; ICANN 2024)."""
_LARGEST_NUMBER = 1_000_000_000  # 30 years of seconds: a date stays a date


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """What control requests act on."""

    account: Account
    certificate: Callable[[], bytes | None]
    entra: Entra
    faults: Faults
    meter: Meter


def control(controls: Controls, call: Call, query: Mapping[str, str]) -> Answer:
    """Carries out one control request."""
    if call.method in {"GET", "HEAD"} and call.segments[1:] in {("health",), ("certificate",)}:
        return _health() if call.segments[1] == "health" else _certificate(controls)
    refused = refusal(call.headers)
    if refused is not None:
        return refused
    match call.segments[1:]:
        case ("dbs", database, "colls", name, action):
            route = ON_CONTAINER.get((call.method, action))
            if route is not None:
                return _guarded(lambda: route(controls, call, (database, name), query))
        case (action,):
            plain = PLAIN.get((call.method, action))
            if plain is not None:
                return _guarded(lambda: plain(controls, call))
        case _:
            pass
    return error_answer(EmulatorError(404, 0, f"There is no {call.method} {call.path}."))


def refusal(headers: Mapping[str, str]) -> Answer | None:
    """What web pages are answered, and whoever comes under another name; None for all others."""
    if _is_from_here(headers):
        return None
    return error_answer(
        EmulatorError(403, 0, "Control requests of web pages and under other names are refused.")
    )


def perform(controls: Controls, method: str, path: str, body: object) -> Any:
    """Carries out a control request of this program itself; raises what it would answer with.

    `path` is what follows `/_emulator/`; bytes are sent as they are, everything else as JSON.
    """
    path, _, query = path.partition("?")
    content = body if isinstance(body, bytes) else b"" if body is None else encode_json(body)
    call = Call(method=method, path=PREFIX + path, headers={}, body=content, base_url="")
    answer = control(controls, call, dict(parse_qsl(query)))
    given = decode_json(answer.body)
    if answer.status >= HTTPStatus.BAD_REQUEST:
        raise EmulatorError(answer.status, 0, given["message"])
    return given


def _health() -> Answer:
    """Says that it answers; open to everybody under every name, since it tells and does nothing."""
    return json_answer(200, {"status": "ready"})


def _certificate(controls: Controls) -> Answer:
    """The certificate to trust, in PEM; as public as the handshake makes it."""
    certificate = controls.certificate()
    if certificate is None:
        return error_answer(EmulatorError(404, 0, "The emulator does not serve https."))
    return Answer(status=200, body=certificate, headers={"Content-Type": "application/x-pem-file"})


def _is_from_here(headers: Mapping[str, str]) -> bool:
    """Whether no browser was led here: no foreign Origin, and an address or a plain name as Host.

    A page that resolves a name of its own to this machine sends that name as Host.
    """
    host = _bare_host(f"//{headers.get('Host', '')}")
    origin = headers.get("Origin")
    if origin is not None and _bare_host(origin) != host:
        return False
    return "." not in host or host.endswith(_OWN_ZONES) or _is_address(host)


def _bare_host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return "invalid.host"


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _guarded(run: Callable[[], Answer]) -> Answer:
    try:
        return run()
    except EmulatorError as error:
        return error_answer(error)


def _split(controls: Controls, call: Call, names: tuple[str, str], _: Mapping[str, str]) -> Answer:
    body = decode_object(call.body)
    completing = _number(body, "completing_ms", 0) / 1000
    container = controls.account.engine.container(*names)
    children = container.split(_text(body, "range"), completing_seconds=completing)
    return json_answer(200, {"children": children})


def _merge(controls: Controls, call: Call, names: tuple[str, str], _: Mapping[str, str]) -> Answer:
    body = decode_object(call.body)
    ranges, lsn = body.get("ranges"), body.get("lsn")
    if not isinstance(ranges, list) or not (lsn is None or isinstance(lsn, int)):
        raise bad_request("A merge needs a list of ranges; its lsn is a whole number.")
    child = controls.account.engine.container(*names).merge([str(each) for each in ranges], lsn=lsn)
    return json_answer(200, {"child": child})


def _raw(
    controls: Controls, call: Call, names: tuple[str, str], query: Mapping[str, str]
) -> Answer:
    container = controls.account.engine.container(*names)
    key = query.get("partitionKey", call.headers.get(PARTITION_KEY))
    try:
        partition_key = None if key is None else json.loads(key)
    except (ValueError, RecursionError) as error:
        raise bad_request("The partition key must be JSON.") from error
    result = container.upsert_raw(call.body, item_id=query.get("id"), partition_key=partition_key)
    answer = {"status": result.status, "etag": result.etag, "lsn": result.lsn}
    return json_answer(result.status, {**answer, "session_token": result.session_token})


def _purge(controls: Controls, call: Call) -> Answer:
    automatic = decode_object(call.body).get("automatic") if call.body else None
    if automatic is None:
        return json_answer(200, {"purged": controls.account.engine.purge()})
    if not isinstance(automatic, bool):
        raise bad_request("'automatic' is true or false.")
    for _, container in controls.account.engine.containers():
        container.purges_itself = automatic
    return json_answer(200, {"automatic": automatic})


def _set_clock(controls: Controls, call: Call) -> Answer:
    body = decode_object(call.body)
    controls.account.engine.offset_seconds = _number(body, "offset_seconds", None)
    return _clock(controls, call)


def _clock(controls: Controls, _: Call) -> Answer:
    engine = controls.account.engine
    return json_answer(200, {"offset_seconds": engine.offset_seconds, "now": engine.now()})


def _odd_ids(controls: Controls, call: Call) -> Answer:
    controls.account.odd_ids.choose(_text(decode_object(call.body), "answer"))
    return json_answer(200, {"answer": controls.account.odd_ids.answer})


def _stats(controls: Controls, _: Call) -> Answer:
    counted = stats(controls.account.engine, controls.meter)
    return json_answer(200, {**counted, "waiting": controls.faults.waiting})


def _reset_stats(controls: Controls, _: Call) -> Answer:
    controls.meter.reset()
    return json_answer(200, {})


def _add_fault(controls: Controls, call: Call) -> Answer:
    controls.faults.install(parse_fault(decode_object(call.body)))
    return _list_faults(controls, call)


def _list_faults(controls: Controls, _: Call) -> Answer:
    return json_answer(200, {"faults": controls.faults.listed()})


def _clear_faults(controls: Controls, _: Call) -> Answer:
    return json_answer(200, {"removed": controls.faults.clear()})


def _token(controls: Controls, call: Call) -> Answer:
    body = decode_object(call.body) if call.body else {}
    audience = _text({"audience": ANY_ACCOUNT, **body}, "audience")
    lifetime = _number(body, "lifetime_seconds", LIFETIME_SECONDS)
    name = _text({"role": Role.CONTRIBUTOR, **body}, "role")
    if name not in set(Role):
        raise bad_request(f"The role must be one of {', '.join(Role)}.")
    signed = controls.entra.token(audience, role=Role(name), lifetime_seconds=lifetime)
    told = {"access_token": signed.token, "expires_on": signed.expires_on}
    return json_answer(200, {**told, "token_type": "Bearer"})


def _reset(controls: Controls, _: Call) -> Answer:
    account = controls.account
    for database in account.engine.databases():
        account.engine.delete_database(database.name)
    account.engine.offset_seconds = 0.0
    account.odd_ids.answer = OddIdAnswer.AS_SENT
    controls.faults.clear()
    controls.meter.reset()
    return json_answer(200, {})


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise bad_request(f"The request needs {name!r}, a string.")
    return value


def _number(body: Mapping[str, Any], name: str, default: float | None) -> float:
    value = body.get(name, default)
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or abs(value) > _LARGEST_NUMBER
    ):
        raise bad_request(f"The request needs {name!r}, a number.")
    return float(value)


ON_CONTAINER = {("POST", "split"): _split, ("POST", "merge"): _merge, ("POST", "raw"): _raw}
PLAIN = {
    ("POST", "purge"): _purge,
    ("POST", "reset"): _reset,
    ("POST", "clock"): _set_clock,
    ("GET", "clock"): _clock,
    ("POST", "odd_ids"): _odd_ids,
    ("POST", "token"): _token,
    ("GET", "stats"): _stats,
    ("DELETE", "stats"): _reset_stats,
    ("POST", "faults"): _add_fault,
    ("GET", "faults"): _list_faults,
    ("DELETE", "faults"): _clear_faults,
}
