"""What a text is written in: script, words and language, and the word lists by which refusals, insults and moods are told.

Below every stage, because data, feedback and evaluations all ask. All but :mod:`identify` is standard library only: the server
loads it inside vLLM's environment.
"""
