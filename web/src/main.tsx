/**
 * Starts the page.
 */
import { render } from 'preact';
import { App } from './app.tsx';
import './styles/tokens.css';
import './styles/base.css';
import './styles/shell.css';
import './styles/chat.css';
import './styles/tokenizer.css';
import './styles/inside.css';
import './styles/models.css';

render(<App />, document.getElementById('app')!);
