"""Clusters in operators' hands: what can be asked of them and done about them, in words, as JSON and drawn.

It stands above the engine, whose accounts and times it names, and above the worker, whose desk does what is ordered. The
operator's port and the command line both ask `Clusterwork`, so that they say the same.
"""
