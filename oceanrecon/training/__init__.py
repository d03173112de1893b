"""The separate package that learns: needs the extra ``train`` (``pip install 'oceanrecon[train]'``)."""
