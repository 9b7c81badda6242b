"""Clients that play against a running platform over HTTP, as browsers, tablets and banking apps do.

They import nothing of the platform and open no database: prices, fees and expectations are counted here once more, so
that to agree with finance and the city proves something. `story` plays scripted scenes, `day` a whole planned day.
"""
