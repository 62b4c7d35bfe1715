// Before anything is drawn: the theme that was chosen here.
(() => {
  try {
    const theme = localStorage.getItem("asyncjobs-theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch { /* storage may be forbidden: then it is the system's */ }
})();
