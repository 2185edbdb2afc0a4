"""What buyer and seller write to each other about an order: messages and feedback, texts as on the wire."""

from collections import defaultdict
from datetime import datetime, timedelta
from random import Random
from typing import Literal, NamedTuple

from bl_pipeline.sandbox.order import SandboxOrder


class Message(NamedTuple):
    """A message to the seller. Without a subject the API sends null."""

    subject: str | None
    body: str
    sender: str
    recipient: str
    date_sent: datetime


class Feedback(NamedTuple):
    """Feedback: `rating` 0 praise, 1 neutral, 2 complaint; `rating_of_bs` is who is rated, the buyer or the seller."""

    feedback_id: int
    sender: str
    recipient: str
    date_rated: datetime
    rating: Literal[0, 1, 2]
    rating_of_bs: Literal["B", "S"]
    comment: str
    reply: str | None


_QUESTIONS = (
    "When will you send it?", "Could you combine this with my other order?", "I don&#39;t see your IBAN.",
    "Payment is on its way &#40;bank transfer&#41;.", "Please add a tracking number.<br>Thanks!",
)  # fmt: skip
_COMMENTS: dict[int, tuple[str, ...]] = {
    0: ("Fast &amp; well packed", "All fine, thank you!", "Good buyer, paid at once"),
    1: ("Took a while", "Some parts were scratched"),
    2: ("Parts missing, no answer",),
}
_RATED = frozenset({"COMPLETED", "RECEIVED", "PURGED"})


def messages_about(order: SandboxOrder, seed: int) -> tuple[Message, ...]:
    """The messages of an order from its beginning: of two orders in five one to three, always the same."""
    rng = Random(f"{seed}/{order.order_id}/messages")
    if rng.random() > 0.4:
        return ()
    buyer = order.buyer_name or "unknown"
    return tuple(
        Message(
            None if rng.random() < 0.2 else f"Regarding BrickLink Order #{order.order_id}",
            rng.choice(_QUESTIONS),
            buyer,
            order.seller_name,
            order.date_ordered + timedelta(hours=rng.randrange(1, 20) + 24 * number),
        )
        for number in range(rng.randrange(1, 4))
    )


def feedback_about(order: SandboxOrder, seed: int) -> tuple[Feedback, ...]:
    """The feedback of an order from its beginning: of most finished ones, by buyer, seller or both."""
    if order.status not in _RATED:
        return ()
    rng = Random(f"{seed}/{order.order_id}/feedback")
    buyer = order.buyer_name or "unknown"
    given = []
    sides: tuple[tuple[Literal["B", "S"], str, str], ...]
    sides = (("S", buyer, order.seller_name), ("B", order.seller_name, buyer))
    for rated, sender, recipient in sides:
        if rng.random() < 0.25:
            continue
        rating: Literal[0, 1, 2] = rng.choices((0, 1, 2), (90, 7, 3))[0]
        given.append(
            Feedback(
                order.order_id * 2 + (rated == "B"),
                sender,
                recipient,
                order.date_status_changed + timedelta(minutes=rng.randrange(1, 60)),
                rating,
                rated,
                rng.choice(_COMMENTS[rating]),
                "Sorry, parts are sent again" if rating == 2 and rng.random() < 0.5 else None,
            )
        )
    return tuple(given)


class Conversations:
    """What was written about the orders of a store, from the beginning and since."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._messages: defaultdict[int, list[Message]] = defaultdict(list)
        self._feedback: defaultdict[int, list[Feedback]] = defaultdict(list)

    def messages(self, order: SandboxOrder) -> tuple[Message, ...]:
        """The messages about an order, the oldest first."""
        return messages_about(order, self._seed) + tuple(self._messages[order.order_id])

    def feedback(self, order: SandboxOrder) -> tuple[Feedback, ...]:
        """The feedback about an order."""
        return feedback_about(order, self._seed) + tuple(self._feedback[order.order_id])

    def write_message(self, order: SandboxOrder, when: datetime, body: str, subject: str | None) -> Message:
        """The buyer writes to the seller."""
        message = Message(subject, body, order.buyer_name or "unknown", order.seller_name, when)
        self._messages[order.order_id].append(message)
        return message

    def rate(self, order: SandboxOrder, when: datetime, rating: Literal[0, 1, 2], comment: str) -> Feedback:
        """The buyer rates the seller."""
        number = 10**9 + sum(map(len, self._feedback.values()))
        buyer = order.buyer_name or "unknown"
        feedback = Feedback(number, buyer, order.seller_name, when, rating, "S", comment, None)
        self._feedback[order.order_id].append(feedback)
        return feedback
