"""How a fan-out goes over its hosts: all at once, one by one or in waves, and after how many failures it ends."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

_AMOUNT = re.compile(r"0*([1-9]\d{0,5})(%?)")


@dataclass(frozen=True)
class Waves:
    """So many hosts at once, the next ones when all of them have ended; over after so many failures (0 = never)."""

    size: int
    most_failures: int = 0

    @classmethod
    def over(
        cls,
        hosts: int,
        serial: bool = False,
        batch: int | str | None = None,
        max_failures: int | str | None = None,
    ) -> Waves:
        """For so many hosts; an amount is a number or `10%` of them, rounded down, at least 1.

        Raises ValueError for what is no amount.
        """
        size = 1 if serial else hosts if batch is None else min(_share(batch, hosts), hosts)
        return cls(size, 0 if max_failures is None else _share(max_failures, hosts))


def _share(amount: int | str, whole: int) -> int:
    found = _AMOUNT.fullmatch(str(amount))
    if not found or (found[2] and int(found[1]) > 100):
        raise ValueError(f"{amount} is neither a number of hosts, such as 5, nor 1% to 100%")
    number = int(found[1])
    return max(number * whole // 100, 1) if found[2] else number


class _AmountType(click.ParamType[Any]):
    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            _share(value, 1)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return value


def in_waves(
    batch: str | None = None, max_failures: str | None = None
) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Give a command --serial, --batch and --max-failures: its body gets `waves`, for `run(…, **waves)`.

    What is given here holds where the caller says nothing; `--batch 100%` is all at once.
    """
    amount = _AmountType()
    options = (
        click.option("--serial", is_flag=True, help="one host after the other"),
        click.option(
            "--batch", type=amount, metavar="N|N%", default=batch, help="so many at a time"
        ),
        click.option(
            "--max-failures",
            type=amount,
            metavar="N|N%",
            default=max_failures,
            help="then begin no more",
        ),
    )

    def decorate(function: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(function)
        def body(
            *arguments: Any, serial: bool, batch: str | None, max_failures: str | None, **more: Any
        ) -> object:
            waves = {"serial": serial, "batch": batch, "max_failures": max_failures}
            return function(*arguments, waves=waves, **more)

        result: Callable[..., object] = body
        for option in reversed(options):
            result = option(result)
        return result

    return decorate
