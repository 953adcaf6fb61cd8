"""The strings that are told apart: a code for each value of a feature, up to bounds."""

NAMES_MAX = 2**62  # no bound but that of the partition: a linear model has one number for each
VALUES_MAX = 10_000  # strings told apart, over all features: about 1 MiB of names
NOMINAL = " (text)"  # ends the name of a feature whose numbers are codes
_OTHER = 0  # the code of a value that is not told apart


class Vocabulary:
    """Codes of string values, by feature, from 1 on in the order they were learned.

    Args:
        categories_max: values of one feature that are told apart; at least 0.
        names_max: features that have codes.
    """

    def __init__(self, categories_max: int, names_max: int = NAMES_MAX) -> None:
        if categories_max < 0:
            raise ValueError(f"categories_max must be at least 0, got {categories_max}")
        self.categories_max = categories_max
        self.names_max = names_max
        self._codes: dict[str, dict[str, int]] = {}
        self._values_n = 0

    def learn(self, name: str, value: str) -> int:
        """The value's code; it is given one if there is room."""
        codes = self._codes.get(name)
        if codes is None:
            if len(self._codes) >= self.names_max:
                return _OTHER
            codes = self._codes[name] = {}
        code = codes.get(value, _OTHER)
        if not code and len(codes) < self.categories_max and self._values_n < VALUES_MAX:
            code = codes[value] = len(codes) + 1
            self._values_n += 1
        return code

    def has_room_for(self, name: str) -> bool:
        """Whether a feature is, or would be, one of those that have codes."""
        return name in self._codes or len(self._codes) < self.names_max

    def codes(self, name: str) -> tuple[dict[str, int], bool]:
        """The codes of all values learned; and whether any other value will never get one."""
        codes = self._codes.get(name, {})
        return codes, len(codes) >= self.categories_max or self._values_n >= VALUES_MAX

    def code(self, name: str, value: str) -> int:
        """The value's code; 0 if it has none."""
        codes = self._codes.get(name)
        return codes.get(value, _OTHER) if codes else _OTHER
