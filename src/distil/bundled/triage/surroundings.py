"""The parts of a message around its request: openers, forms of request, names of the product and the order, cues, chatter.

Data only. Every table has a "train" and a "test" side whose sentences are disjoint. `[a|b]` is a choice; slots:
`{name}` a first name, `{order}` the order number, `{obj}`/`{Obj}` the product, `{other}` another product (a distractor),
`{year}`, `{phone}`, `{price}`, `{count}`, `{zip}` distracting numbers.
"""

from __future__ import annotations

from distil.bundled.triage.chatter import BRANDS, CHATTER, CLOSER, NAMES, OPENER, OTHER_PRODUCT, Table
from distil.bundled.triage.cues import HIGH, LOW, NEGATIVE, POSITIVE

WISH: Table = {
    "train": (
        "I [want|need|would like|wish] to {wish}.",
        "How [can|do] I {wish}?",
        "I am trying to {wish}.",
        "Is it possible to {wish}?",
        "[Can|Could|May] I {wish}?",
        "I [hope|was hoping] to {wish}.",
        "I am writing because I [want|would like] to {wish}.",
        "[Can|Could] you help me {wish}?",
        "My [question|request] is how to {wish}.",
        "[Please let me|Let me] {wish}.",
        "I have to {wish}.",
        "What do I [need|have] to do to {wish}?",
    ),
    "test": (
        "Kindly allow me to {wish}.",
        "Any chance I could {wish}?",
        "My intention is to {wish}.",
        "Which steps must I follow to {wish}?",
        "All I am after is to {wish}.",
    ),
}
ASK: Table = {
    "train": (
        "[Please|Can you please|Could you please] {ask}.",
        "[Can|Could|Would|Will] you {ask}?",
        "I [want|need|would like] you to {ask}.",
        "You [must|should|need to] {ask}.",
        "I am asking you to {ask}.",
        "Would it be possible for you to {ask}?",
        "It would be [good|nice|great] if you could {ask}.",
        "I [hope|wish] you can {ask}.",
    ),
    "test": (
        "Kindly {ask}.",
        "I request that you {ask}.",
        "Be so kind and {ask}.",
        "Might somebody {ask}?",
    ),
}
OBJECTS: Table = {  # {n} is the product's noun
    "train": (
        "[the|my|this] {any} {n}",
        "[the|my] {any} {n} [I bought|I ordered|from you]",
        "[the|my|this|your] {n}",
        "the {n}",
        "my {n}",
        "[the|my] [new|black|white|big|small|old|expensive] {n}",
        "the {n} [I bought|I ordered|from your shop|I got from you]",
        "[my|the] {brand} {n}",
        "the {n} [of|from] {brand}",
        "the {n} that I [bought|ordered] [last week|in may|online|from you]",
    ),
    "test": (
        "the {n} [purchased recently|your colleague sold me]",
        "our {n}",
        "that {brand} {n}",
        "my {n}",
        "the [silver|compact|shiny] {n}",
        "this {n} by {brand}",
    ),
}
NO_PRODUCT: Table = {
    "train": (
        "my order",
        "the order",
        "it",
        "the [thing|item|product] I [bought|ordered]",
        "this [item|product]",
        "my purchase",
        "what I [bought|ordered] [last week|from you|]",
    ),
    "test": (
        "that bought item",
        "the product ordered recently",
        "my recent purchase",
        "the entire order",
    ),
}
ORDER_TAIL: Table = {  # directly after the product
    "train": (
        "[from|in|of|with|under] order {order}",
        "(order {order})",
        "(order [no|number|nr|id] {order})",
        "from my order number {order}",
        "with order [number|no] {order}",
        "(#{order})",
        "order #{order}",
    ),
    "test": ("listed under order {order}", "(order ref {order})", "belonging to order number {order}"),
}
ORDER_SENTENCE: Table = {
    "train": (
        "My order [number|no|id] is {order}.",
        "The order [number|id] is {order}.",
        "Order {order}.",
        "Order: {order}.",
        "It is order {order}.",
        "Order number {order}.",
        "This is about order {order}.",
        "[I have|Mine is] order number {order}.",
        "Order no. {order}.",
        "The number of my order is {order}.",
        "My order: {order}.",
        "You can find it under order {order}.",
        "Order id: {order}.",
        "The order has the number {order}.",
        "#{order} is my order.",
        "It was order #{order}.",
        "Ordered under number {order}.",
        "Here is the order number: {order}.",
        "The confirmation says order {order}.",
        "My order is {order}.",
        "Regarding order {order}.",
    ),
    "test": (
        "For reference, order {order}.",
        "Please look up order {order}.",
        "It concerns order number {order}.",
        "Relevant order: {order}.",
        "My receipt mentions order {order}.",
        "The order goes by number {order}.",
        "Ordernumber {order}.",
    ),
}
PRODUCT_SENTENCE: Table = {  # where the request itself names no product
    "train": (
        "It is about {obj}.",
        "I [bought|ordered] {obj} from you.",
        "I am talking about {obj}.",
        "This is about {obj}.",
        "I have {obj} from your shop.",
        "It was {obj}.",
        "I ordered {obj} [last week|in june|on monday].",
        "I am a customer, I bought {obj}.",
    ),
    "test": (
        "It concerns {obj}.",
        "Recently I purchased {obj} here.",
        "Background: I own {obj}.",
        "We speak of {obj}.",
    ),
}
TABLES: dict[str, Table] = {
    "wish": WISH,
    "ask": ASK,
    "object": OBJECTS,
    "no_product": NO_PRODUCT,
    "order_tail": ORDER_TAIL,
    "order_sentence": ORDER_SENTENCE,
    "product_sentence": PRODUCT_SENTENCE,
    "high": HIGH,
    "low": LOW,
    "positive": POSITIVE,
    "negative": NEGATIVE,
    "opener": OPENER,
    "closer": CLOSER,
    "chatter": CHATTER,
    "other_product": OTHER_PRODUCT,
    "name": NAMES,
    "brand": BRANDS,
}
