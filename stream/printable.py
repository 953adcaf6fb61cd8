"""Text from elsewhere, made fit for a terminal: what comes from a record may hold anything.

An escape sequence moves the cursor or renames the window, U+009B begins one in a single character,
a bidirectional override shows a name backwards, a line break forges a line. So whatever is said
passes here, at the one place where it is written: `screen` for the commands, `Telemetry` for a
worker's lines. What is data for programs (JSON) keeps its meaning: the escapes are JSON's own.
"""


def escaped(text: str) -> str:
    r"""The text with an escape for each character that has no shape of its own.

    Controls (C0 and C1), line ends, bidirectional and zero-width marks, spaces other than " ", and
    what is no character at all.

    >>> escaped("a\x1b[31m\x9b2J\u202eb\u200b\udc80 é")
    'a\\x1b[31m\\x9b2J\\u202eb\\u200b\\udc80 é'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def escaped_json(document: str) -> str:
    r"""A JSON document with the same content on one line, and only what has a shape of its own.

    >>> escaped_json('{"a":\n "\x9b\u202e\U000e0041"}')
    '{"a":  "\\u009b\\u202e\\udb40\\udc41"}'
    """
    if document.isprintable():
        return document
    return "".join(c if c.isprintable() else _json_escape(c) for c in document)


def _json_escape(character: str) -> str:
    if character in "\t\n\r":  # within a string JSON does not allow them: this is between tokens
        return " "
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
