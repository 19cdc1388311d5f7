"""A small C project of more than two hundred files that builds and tests itself with `make`."""

from pathlib import Path

MODULES = 100

MAKEFILE = """\
OBJECTS := $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))
CC ?= cc

test: suite
\t./suite

suite: $(OBJECTS)
\t$(CC) -o $@ $(OBJECTS)

%.o: %.c
\t$(CC) -O0 -c -o $@ $<

.PHONY: test
"""


def write_project(folder: Path, *, broken: bool = False) -> Path:
    """Write the project into `folder`; a broken one has a failing test. Return the folder."""
    source = folder / "src"
    source.mkdir(parents=True)
    for number in range(MODULES):
        (source / f"m{number:03}.h").write_text(f"int m{number:03}(void);\n")
        (source / f"m{number:03}.c").write_text(
            f'#include "m{number:03}.h"\nint m{number:03}(void) {{ return {number}; }}\n'
        )
    includes = "".join(f'#include "m{number:03}.h"\n' for number in range(MODULES))
    checks = "".join(f"  check({number}, m{number:03}());\n" for number in range(MODULES))
    expected = sum(range(MODULES)) + broken
    (source / "main.c").write_text(
        f"{includes}#include <stdio.h>\nstatic int sum;\n"
        'static void check(int want, int got) { sum += got; printf("m%03d %s\\n", want, '
        'want == got ? "ok" : "BROKEN"); }\n'
        f"int main(void) {{\n{checks}"
        f'  fprintf(stderr, "sum %d\\n", sum);\n  return sum == {expected} ? 0 : 3;\n}}\n'
    )
    (folder / "Makefile").write_text(MAKEFILE)
    (folder / "run.sh").write_text("#!/bin/sh\nexec make --no-print-directory test\n")
    (folder / "run.sh").chmod(0o755)
    return folder
