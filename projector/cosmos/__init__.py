"""Cosmos DB behind the ports: the only importer of `azure`; every trap of its SDK ends here.

What leaves this package are values of `projector.ports` and errors of `projector.core.errors`.
"""
