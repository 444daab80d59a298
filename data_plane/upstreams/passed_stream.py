"""One stream whose bytes pass to the caller as they come: it has the form that the caller reads.

Opened by `relay.py` in place of `relayed_stream.py`, which see. A parser beside it reads what the
gateway has to know: usage, the end, and errors.
"""

from modelplane.adapters.providers.base import Passage
from modelplane.adapters.providers.errors import AdapterError
from modelplane.adapters.providers.http.transport import HttpResponse
from modelplane.adapters.providers.types import tokens_of
from modelplane.data_plane.errors import LimitExceeded
from modelplane.data_plane.upstreams.deadlines import Deadline
from modelplane.data_plane.upstreams.exchange import model_of
from modelplane.data_plane.upstreams.relayed_stream import RelayedStream, StreamParts
from modelplane.data_plane.upstreams.truncation import REASON
from modelplane.data_plane.upstreams.whole_events import WholeEvents

_NEXT_MINUTE = 60


class PassedStream(RelayedStream):
    """One stream on its way from the provider to the caller, as it is."""

    def __init__(self, passage: Passage, *common: *StreamParts) -> None:
        """Begin before the provider has answered; `common` as of `RelayedStream`."""
        super().__init__(*common)
        self._parser = passage.parser()
        self._passage = passage
        self._events = WholeEvents()
        # Whether it is known that an answer begins, and no error; until then all is held.
        self._answers = False

    async def run(self, response: HttpResponse, deadline: Deadline) -> None:
        """Relay until the provider's stream has ended, or the limits have ended it."""
        try:
            await super().run(response, deadline)
        except LimitExceeded as error:
            await self.fail(error)

    def _look(self, data: bytes) -> None:
        """Take it for a stream: what is none is an error to the parser."""

    def _shape(self, data: bytes) -> tuple[list[bytes], AdapterError | None]:
        try:
            for chunk in self._parser.feed(data) if data else self._parser.finish():
                self._last = chunk
                if self._traced and not self._answers:
                    self._exchange.record.model = model_of(chunk)
                self._answers = True
                self._shaper.note(chunk)
        except AdapterError as error:
            came = self._passage.before_error(self._parser, self._events.flush() + data, error)
            return [came] if came else [], error
        came = self._passage.passed(self._parser, data)
        if not self._answers:
            self._events.hold(came)
            return [], None
        passed = self._events.take(came)
        if not data or self._parser.ended:
            passed += self._events.flush()
        return [passed] if passed else [], None

    def _cut(self, chunks: list[bytes], *, ended: bool) -> bool:
        del chunks
        admission = self._exchange.admission
        if not ended and self._last and admission.counts_output:
            self.is_cut = not admission.allows(tokens_of(self._shaper.characters))
        if self.is_cut:
            raise LimitExceeded(REASON, _NEXT_MINUTE, ())
        return ended
