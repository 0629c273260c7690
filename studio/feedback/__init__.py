"""What users think of the answers, written down so that the next training can use it.

``store`` and ``signals`` need nothing but the standard library: the guard of the server loads them inside vLLM's environment.
"""
