"""A stand-in for a provider's origin gets the request as the provider would."""

from aiohttp import web
from aiohttp.test_utils import TestServer

from modelplane.adapters.providers.http.client import Http1Transport
from modelplane.adapters.providers.types import HttpRequest


async def test_a_request_goes_to_the_stand_in_under_its_own_host_name() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.host} {request.raw_path}")

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    async with TestServer(app) as server:
        origins = {"https://api.example.com": f"http://127.0.0.1:{server.port}"}
        async with Http1Transport(origins) as transport:
            url = "https://api.example.com/model/a%3Ab?x=%2F"
            response = await transport.send(HttpRequest("p", url, {}, b"{}"))
            assert await response.body() == b"api.example.com /model/a%3Ab?x=%2F"
            response.close()
