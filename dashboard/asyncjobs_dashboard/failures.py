"""What goes wrong becomes a page that says what to do, or JSON for programs."""

from __future__ import annotations

import asyncio
import logging
import secrets
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

from asyncjobs.errors import (
    AsyncjobsError,
    BatchNotFound,
    JobNotFound,
    JobStateError,
    OptionError,
    RecurringNotFound,
    StorageError,
)
from asyncjobs_dashboard.rendering import fragment
from asyncjobs_dashboard.rendering import page as whole_page
from asyncjobs_dashboard.security import Refused, for_programs
from asyncjobs_dashboard.setup import SETUP

logger = logging.getLogger("asyncjobs.dashboard")

REFUSALS = {
    "host": "This host name isn't allowed",
    "denied": "You may not see this dashboard",
    "readers": "You may look, but not change anything",
    "read only": "This dashboard is read-only",
    "csrf": "This form can't be accepted",
}


@web.middleware
async def failures(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer with what went wrong, and log what nobody expected."""
    resource = request.match_info.route.resource
    route = request.app[SETUP].route(resource.name if resource is not None else None)
    seconds = route.seconds if route is not None else 15.0
    try:
        if seconds:
            async with asyncio.timeout(seconds):
                return await handler(request)
        return await handler(request)
    except Refused as refused:
        return await _answer(request, 403, "refused", refused.reason, REFUSALS[refused.kind], refused.kind)
    except web.HTTPException as answer:
        if answer.status < 400:
            raise
        page = await _answer(request, answer.status, "http", answer.text or answer.reason, answer.reason)
        # How to authenticate, what is allowed, when to come back.
        for name, value in answer.headers.items():
            if not name.lower().startswith("content-"):
                page.headers.add(name, value)
        return page
    except (JobNotFound, BatchNotFound, RecurringNotFound) as error:
        return await _answer(request, 404, "missing", str(error), "It isn't there")
    except StorageError as error:
        return await _answer(request, 503, "storage", str(error), "The storage can't be used")
    except TimeoutError:
        why = f"no answer within {seconds:g} seconds"
        return await _answer(request, 503, "storage", why, "The storage can't be used")
    except JobStateError as error:
        return await _answer(request, 409, "state", str(error), "That can't be done now")
    except OptionError as error:
        return await _answer(request, 400, "option", str(error), "That isn't right")
    except AsyncjobsError as error:
        return await _answer(request, 400, "option", str(error), "That didn't succeed")
    except Exception:
        number = secrets.token_hex(4)
        logger.exception("error %s at %s", number, request.path)
        return await _answer(request, 500, "internal", number, "Something went wrong here")


async def _answer(
    request: web.Request, status: int, template: str, reason: str, headline: str, kind: str = ""
) -> web.Response:
    resource = request.match_info.route.resource
    setup = request.app[SETUP]
    route = setup.route(resource.name if resource is not None else None)
    if for_programs(request):
        return web.json_response(
            {"error": headline, "reason": reason, "kind": kind or template}, status=status
        )
    if route is not None and route.name == "live":
        return web.Response(text=reason, status=status)
    # Where the storage gives no answer, nobody should wait for it a second time.
    render = fragment if template in ("storage", "internal") else whole_page
    told = render(
        request,
        "error.html",
        status=status,
        headline=headline,
        reason=reason,
        what=template,
        kind=kind,
        status_code=status,
        phrase=HTTPStatus(status).phrase,
    )
    return told if isinstance(told, web.Response) else await told
