"""Compiled kernels that are complete in themselves, so that their bits do not depend on what else is loaded.

Numba compiles each kernel together with those that it calls, so LLVM sees them once more in every caller, and
may order and fuse their sums in another way there: that is what fast-math flags allow. The copies have one
name, and of several copies in a process the linker keeps the first. In a process that has just compiled a
kernel this is the kernel itself, in one that loads its caller from the cache it is the caller's copy: other
bits. So here

- code keeps its copies to itself: a call in it goes to what was compiled with it, whatever else is loaded.
  What a process compiled and what the next one loads is then the same code;
- a caller is compiled with the same text whether the callee was compiled a moment ago or comes from the
  cache: as it was written to the cache, which loses the order in which LLVM remembers uses, and as it was
  before machine code was made, which rewrites it.
"""

from __future__ import annotations

import hashlib
from typing import Any

from llvmlite.binding import Linkage, parse_bitcode
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class Library(JITCodeLibrary):
    """The code of one kernel, with everything that it calls."""

    def _finalize_final_module(self) -> None:
        """Numba calls this between optimising and making machine code."""
        code = self._final_module
        written = [function for function in code.functions if not function.is_declaration]
        own = [function for function in written if function.linkage == Linkage.external]
        called = [function for function in written if function.linkage == Linkage.linkonce_odr]
        # In a caller, which may call the same kernels by other ways, these copies go with this kernel alone.
        # (Counting references is known to LLVM's passes by its names. It is the same code everywhere.)
        mark = hashlib.sha256(own[0].name.encode()).hexdigest()[:16]
        for function in called:
            if not function.name.startswith("NRT_"):
                function.name = f"{mark}.{function.name}"
        for function in own:  # as Numba has it where callers are compiled: left out where it is not called
            function.linkage = Linkage.linkonce_odr
        self._shared_module = parse_bitcode(code.as_bitcode())
        for function in own:
            function.linkage = Linkage.external
        for function in called:
            function.linkage = Linkage.internal
        super()._finalize_final_module()


class KernelCompiler(Compiler):
    """Numba's compiler, which puts what it makes into a `Library`."""

    def compile_extra(self, func: Any) -> Any:
        self.state.library = Library(self.state.targetctx.codegen(), func.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(func)
