"""The proof that no đồng is lost or doubled: real processes, real PostgreSQL, people over HTTP, and whatever may go wrong.

`python -m proof` (`make proof`) runs three parts from one seed: random operations against a model while the bank
misbehaves, `kill -9` at named failpoints while people go on, and races of eight. Its report goes to docs/proofs/.
"""
