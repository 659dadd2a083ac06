"use strict";

// The page is for reading: nothing is sent from it, so nothing may be filled in either.
window.reference = SwaggerUIBundle({
  url: "openapi.yaml",
  dom_id: "#reference",
  deepLinking: true,
  defaultModelRendering: "example",
  defaultModelExpandDepth: 3,
  defaultModelsExpandDepth: -1,
  displayRequestDuration: false,
  docExpansion: "list",
  filter: false,
  queryConfigEnabled: false,
  supportedSubmitMethods: [],
  tryItOutEnabled: false,
  validatorUrl: null,
  onComplete: () => { document.documentElement.dataset.ready = "true"; },
});
