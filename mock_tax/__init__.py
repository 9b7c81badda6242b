"""A tax office to practise on: it takes documents and cancellations, counts their numbers, and accepts or rejects them.

It imports nothing of ours. What it demands it states itself, so that what we send is tried by another hand.
"""
