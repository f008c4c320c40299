"""The formats of input files: each module turns one of them into rows as JSON, one after the other.

Other modules of `inputs` import `opening` and `source`. A format is recognised by its content
(`detection`); what is compressed is unpacked on the way (`compression`).
"""
