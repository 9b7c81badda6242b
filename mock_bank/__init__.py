"""A bank to practise on: its own app, its own accounts, its own schema; it is spoken to over HTTP only.

It keeps the collection accounts of operators, plays the customer's banking app, books what is paid, tells the account's
owner by a signed notice, lists its transactions for whoever polls, and sends refunds back. It misbehaves on request, as
real banks do.
It imports nothing of the platform that it serves.
"""
