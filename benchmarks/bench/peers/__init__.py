"""The servers that camserve is compared with, and what starts, asks and stops them.

A folder for each: `server.py`, which is started by the Python of its own environment, and `requirements.txt`.
"""
