// Runs the page. data-ready says that everything is drawn.

startTheme();
startCopying();
startExplorer().finally(() => { document.documentElement.dataset.ready = "yes"; });
