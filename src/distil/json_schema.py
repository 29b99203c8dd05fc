"""Whether a JSON value follows a JSON schema: of a response_format, or of a tool's parameters. The only user of jsonschema.

Nothing is fetched: a `$ref` to another address can't be followed, and counts as a schema that can't be checked.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping

MAX_WORDS = 200


def fault_of(schema: Mapping[str, object], value: object) -> str | None:
    """What is wrong with a value, in one line that names the place; None when it follows the schema.

    Raises ValueError for a schema that is none.
    """
    return _checker(json.dumps(schema, sort_keys=True))(value)


@functools.lru_cache(maxsize=1024)
def _checker(text: str) -> Callable[[object], str | None]:
    import jsonschema
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    schema = json.loads(text)
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ValueError(error.message[:MAX_WORDS]) from None
    validator = kind(schema, registry=Registry())

    def fault(value: object) -> str | None:
        try:
            error = jsonschema.exceptions.best_match(validator.iter_errors(value))
        except (Unresolvable, RecursionError) as problem:
            raise ValueError(f"it can't be followed ({type(problem).__name__}: {str(problem)[:MAX_WORDS]})") from None
        if error is None:
            return None
        place = ".".join(str(part) for part in error.absolute_path)
        return f"{place}: {error.message[:MAX_WORDS]}" if place else error.message[:MAX_WORDS]

    return fault
