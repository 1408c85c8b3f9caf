"""The emulator under the SDKs of several languages, each as it is published: `python -m clients`.

Not part of the product and not of its tests: what is run here comes from the languages' own registries.
"""
