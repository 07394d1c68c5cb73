"""Pages for what is too long, or too much of a picture, for a channel: `[web] listen` turns them on.

`links` signs their addresses, `server` keeps their doors open, `site` says which page is where; `job_page`,
`graph_page` and `health_page` make them of the templates beside. Whoever has a link sees that page until it
expires, and nothing else. What the pages need is imported when the first door opens.
"""
