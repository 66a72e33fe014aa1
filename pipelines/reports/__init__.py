"""What the results look like to a reader: tables for the terminal and the README, a page for the browser.

`scores` reads the score files and writes their numbers, `gathered` reads what lies on disk of each block, `markup` and
`charts` make HTML and SVG of it, `page` puts them together.
"""
