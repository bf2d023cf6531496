"""The option --symbols: a comma-separated list of VENUE:SYMBOL."""


def split_symbols(text: str | None) -> list[str] | None:
    """The symbols in the option; None when it was not given. Raises DatasetError for an empty
    list.
    """
    from contracts.errors import DatasetError

    if text is None:
        return None
    symbols = [symbol.strip() for symbol in text.split(",") if symbol.strip()]
    if not symbols:
        raise DatasetError(
            f"--symbols {text!r} contains no symbol",
            "write VENUE:SYMBOL, such as --symbols BINANCE:BTCUSDT,SYNTH:AAAUSD",
        )
    return symbols


def split_full_symbols(text: str | None) -> list[str] | None:
    """As `split_symbols`; raises DatasetError also for a symbol without a venue."""
    from contracts.errors import DatasetError

    symbols = split_symbols(text)
    wrong = [symbol for symbol in symbols or () if symbol.count(":") != 1]
    if wrong:
        raise DatasetError(
            f"--symbols {text!r}: {wrong[0]!r} is not VENUE:SYMBOL",
            "such as --symbols BINANCE:BTCUSDT,SYNTH:AAAUSD",
        )
    return symbols
