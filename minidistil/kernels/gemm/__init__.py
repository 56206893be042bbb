"""Matrix products: our own kernel where it knows the processor and the type, NumPy's BLAS everywhere else.

matmul.py    the product of two matrices, and weights that are packed beforehand
operands.py  the table of types: what is multiplied, by which instruction
micro.py     the tile that stays in registers, written instruction by instruction
pack.py      both operands copied into the order in which the tile reads them
blocked.py   the loops around the tile: blocks for the caches, work items for the threads
blas.py      the same product by BLAS
heads.py     the products inside a head of attention, by the tile
"""
