"""Words without meaning for the task: common English nouns, and words made up of syllables.

Training messages have them in irrelevant sentences, in names and before products, so that a model learns to ignore words that
it does not know.
"""

from __future__ import annotations

import random

COMMON = tuple(
    """
    time year people way day man thing woman life child world school state family student group country problem hand
    part place case week company system program question work government number night point home water room mother
    area money story fact month lot right study book eye job word business issue side kind head house service friend
    father power hour game line end member law car city community name president team minute idea body information
    back parent face others level office door health person art war history party result change morning reason
    research girl guy moment air teacher force education foot boy age policy music market sense nation plan college
    interest death experience effect use class control care field development role effort rate heart drug show
    leader light voice wife police mind price report decision son view relationship town road arm difference value
    building action season society tax director position player record paper space ground form event official matter
    center couple site project activity star table need court oil situation cost industry figure street image phone
    data picture practice piece land product doctor wall patient worker news test movie north love support
    technology step baby computer type attention film tree source hair look truth tone ship sea bird fish apple
    lemon bread milk sugar salt stone river hill cloud rain snow wind fire gold iron glass paint chair lamp shelf
    coat shirt shoe ring coin card letter stamp
    """.split()  # noqa: SIM905 - a list literal of 250 words would fill the file
)
# Those that could be taken for a cue, a product or a part of a request.
_TELLING = frozenset(
    """
    attention back boy business case change company computer cost day death difference drug girl guy heart hour law
    line love minute moment money month morning name night number part phone picture piece police price problem
    product report service support time war week year
    """.split()  # noqa: SIM905
)
NEUTRAL = tuple(word for word in COMMON if word not in _TELLING)
_STARTS = "b bl br c ch cl cr d dr f fl fr g gl gr h j k kl l m n p pl pr qu r s sh sk sl sp st t th tr v w y z".split()  # noqa: SIM905
_MIDDLES = "a e i o u ai ee oo ou ia ea".split()  # noqa: SIM905
_ENDS = " ,b,ck,d,f,g,l,ld,m,n,nd,ng,p,r,rd,rk,s,sh,st,t,th,x".replace(" ", "").split(",")


def made_up(rng: random.Random) -> str:
    """A word of one to three syllables that looks English and means nothing."""
    return "".join(
        rng.choice(_STARTS) + rng.choice(_MIDDLES) + rng.choice(_ENDS) for _ in range(rng.choice((1, 2, 2, 3)))
    )


def any_word(rng: random.Random) -> str:
    """A common neutral word or, as often, a made-up one."""
    return rng.choice(NEUTRAL) if rng.random() < 0.5 else made_up(rng)
