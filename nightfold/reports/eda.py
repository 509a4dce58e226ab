def render(p): return ""
