"""Show names as they are, but let no terminal obey them."""


def shown(name: str) -> str:
    r"""Write what does not print as `\xNN`, `\uNNNN` or `\UNNNNNNNN`: control and format characters, surrogates.

    The daemon journals printable names alone, whose backslashes are escapes already; a damaged or foreign journal may
    hold anything.
    """
    if name.isprintable():
        return name
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in name
    )
