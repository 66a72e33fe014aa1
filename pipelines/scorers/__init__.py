"""How answers are compared with right ones, where the field has scores of its own: pure functions of texts.

Tasks may import from here; nothing here knows a task, a network or a stage.
"""
