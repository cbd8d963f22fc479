// Before the first paint, so that the page never flashes in the other scheme.
{
  let scheme = null;
  try {
    scheme = localStorage.getItem('cria.scheme');
  } catch {
    // storage may be forbidden; the system's scheme is then used
  }
  const system = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  document.documentElement.dataset.scheme = scheme === 'light' || scheme === 'dark' ? scheme : system;
}
