"""The one error of the test machine: what happened, and what to do about it."""


class MachineError(Exception):
    """The machine cannot be had; `advice` tells the developer how it could be."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(what)
        self.advice = advice
